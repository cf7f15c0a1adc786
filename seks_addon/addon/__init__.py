"""SEKS inside mitmproxy: the only package, with the proxy around it, that imports mitmproxy.

What mitmproxy calls:

addon         the hooks, each a few lines that ask one of the others
guard         every hook fails closed
shut          how each kind of hook does
options       what mitmproxy is told, and what it may not be told
quiet         what of mitmproxy's own log is kept
script        what `mitmdump -s` loads
service       what a running proxy holds open

A request, as it goes along:

session       who is at the other end of a client connection
entry         where a request goes, and on whose behalf
judge         what may be sent of it
exchange      the request and its answer: injection, the audit records it owes
upstream      the gate before every connection to a host; TLS in both directions
lookup        names, and who may have how many looked up
leaves        the certificates that agents are shown
answer        what comes back, made safe
respond       a refusal as an answer
tripwires     what follows when a token is seen where it has no business
conversation  what is said on a WebSocket: who may go on, what is swapped and scrubbed

HTTP as mitmproxy speaks it, changed:

layers        what a client connection is made of
stream        one request and its answer, less the error pages, plus the moment of injection
pool          which connection to a host a request gets
pressure      what may wait is bounded
http1         HTTP/1: heads up to a limit, bodies without trailers
http2         HTTP/2 on both sides
h2connection  the state of one of them
malformed     what is no request, and what mitmproxy's errors are called
websocket     WebSocket as it is spoken to both sides

Who may have how much, and keep others waiting how long:

connections   how many there are, and who takes too long
admission     the counting in that
allotment     what there is in all, and for one agent
patience      what is waited for on each connection
holding       what is held whole until its end is there
pace          what an agent's bytes cost
sockets       reading no faster than the other side, opening in time, closing for good
tunnels       those that pass unseen are judged again
"""
