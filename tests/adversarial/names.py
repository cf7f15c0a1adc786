"""What names resolve to, each for one case: a list of addresses for each lookup, the last one from then on."""

PUBLIC = "93.184.215.14"
ALLOWED = "127.0.0.2"
"""An address of this machine that the proxies are allowed to connect to."""

ADDRESSES = {
    "loopback": "127.0.0.1",
    "loopback-far": "127.255.255.254",
    "this-host": "0.0.0.0",
    "private-10": "10.0.0.1",
    "private-172": "172.31.255.255",
    "private-192": "192.168.0.1",
    "shared": "100.64.0.1",
    "link-local": "169.254.1.1",
    "aws": "169.254.169.254",
    "aws-ecs": "169.254.170.2",
    "azure": "168.63.129.16",
    "alibaba": "100.100.100.200",
    "oracle": "192.0.0.192",
    "multicast": "224.0.0.1",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "v6-loopback": "::1",
    "v6-any": "::",
    "v6-mapped": "::ffff:127.0.0.1",
    "v6-compatible": "::127.0.0.1",
    "v6-translated": "::ffff:0:127.0.0.1",
    "v6-nat64": "64:ff9b::7f00:1",
    "v6-nat64-local": "64:ff9b:1::7f00:1",
    "v6-6to4": "2002:7f00:1::1",
    "v6-teredo": "2001:0:7f00:1::",
    "v6-unique": "fd00::1",
    "v6-aws": "fd00:ec2::254",
    "v6-link": "fe80::1",
    "v6-site": "fec0::1",
    "v6-multicast": "ff02::1",
}
MIXED = {
    "mixed-first": ["127.0.0.1", PUBLIC],
    "mixed-last": [PUBLIC, "127.0.0.1"],
    "mixed-v6": [PUBLIC, "::1"],
    "mixed-mapped": [PUBLIC, "::ffff:10.0.0.1"],
    "mixed-metadata": [PUBLIC, PUBLIC, "169.254.169.254"],
    "mixed-allowed": [ALLOWED, "127.0.0.1"],
}
MOVING = ("still.moving.example.com", "once.moving.example.com", "later.moving.example.com")
"""They are where they are allowed to be; the last two only once, and then at the proxy's own loopback."""

SLOW = [f"slow-{number}.example.com" for number in range(40)]

NAMES: dict[str, list[list[str | float]]] = {
    **{f"{name}.ssrf.example.com": [[address]] for name, address in ADDRESSES.items()},
    **{f"{name}.ssrf.example.com": [addresses] for name, addresses in MIXED.items()},
    **{name: [[3.0, "127.0.0.1"]] for name in SLOW},
    MOVING[0]: [[ALLOWED]],
    **{name: [[ALLOWED], ["127.0.0.1"]] for name in MOVING[1:]},
}
