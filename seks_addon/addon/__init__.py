"""SEKS inside mitmproxy: the only package, with the proxy around it, that imports mitmproxy.

addon       the hooks, each a few lines that ask one of the others
options     what mitmproxy is told, and what it may not be told
guard       every hook fails closed
shut        how each kind of hook does
session     who is at the other end of a client connection
upstream    the gate before every connection to a host; TLS in both directions
layers      HTTP as mitmproxy speaks it, less the error pages, plus the moment of injection
http1       the part of that which faces the agent
exchange    one request and its answer: injection, scrubbing, the audit records it owes
websocket   WebSocket as it is spoken to both sides
conversation  what is said on one: who may go on, what is swapped and scrubbed
connections how many there are, and how long they may keep the proxy waiting
admission   the counting in that
patience    what is waited for on each
sockets     reading no faster than the other side, opening in time, closing for good
lookup      names, and who may have how many looked up
leaves      the certificates that agents are shown
quiet       what of mitmproxy's own log is kept
"""
