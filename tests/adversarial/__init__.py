"""What a hostile agent, and a hostile host, can try: each case is a line of a table, and one harness runs them all.

On one side is a raw socket, which sends any bytes and keeps all that comes back. On the other are hosts that keep
every byte they receive: those that secrets are bound to, the attacker's own, and one with each kind of bad
certificate. In between is the real proxy, as a process of its own: `seks-proxy run`, then a stock `mitmdump`. What can
be said in HTTP/2 is sent so too, through `seks-proxy run --http2`.

To add a case, add a `Case` to the table of the file it belongs to:

- its id, and in a sentence what the attacker tries;
- `send`: what goes through the socket. In a text, a line break is CRLF, and words in braces stand for what only
  the harness knows (`{token}`, `{foreign}` …: `Arena.words`). Bytes are sent as they are, but for those words.
- what comes back, in order: a code of refusal, a status, `CLOSED` or `BROKEN`; a set means any of them;
- `uses`: how many requests arrive with the credential; `passes`: how many arrive without. Where neither is given,
  no host may get a byte or a connection.
- `answer`: what the bound host answers at `/answer`; here `{key}` is the credential that it got.
- `act`: for what can't be told in one go, a function that yields what came back.

After every case, whatever it expects, the harness asserts (`Arena.check`) that a credential went to its own host only
and stands only where it may; that it is nowhere in what the client got, in the log and in the files of the home, in
any encoding; that each use has one intent and one outcome, in a chain that verifies; and that another agent is
served as ever.

Where the product fails a case, the case stays as it should be and says `fails=…`: it must fail until that is mended.
"""
