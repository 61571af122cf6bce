"""Addresses and URLs for the address guard, as attackers and operators write them."""

from contextlib import suppress
from ipaddress import ip_address


def words(text: str) -> list[str]:
    return text.split()


PUBLIC = words("""
    93.184.215.14 1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1
    169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.167.255.255 192.169.0.0
    198.17.255.255 198.20.0.0 223.255.255.255 2606:4700::1111 2a00:1450::1 2001:200::1 2003::1 2620:4f:8000::1
    ::ffff:1.1.1.1 64:ff9b::1.1.1.1
""")
# until they are listed in WEBHOOK_ALLOW_NETWORKS
NOT_PUBLIC = words("""
    10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 127.255.255.255 172.16.0.0 172.31.255.255 192.0.0.1
    192.0.0.9 192.0.2.1 192.88.99.1 192.168.0.0 192.168.255.255 198.18.0.0 198.19.255.255 198.51.100.7 203.0.113.7
    240.0.0.1 255.255.255.254 ::1 ::7f00:1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::FFFF:7F00:1
    0:0:0:0:0:ffff:c0a8:1 ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::7f00:1 64:ff9b::192.168.0.1
    64:ff9b:1::1.1.1.1 100::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1 2001:20::1
    2001:1ff:ffff::1 2001:db8::1 2002:7f00:1:: 2002:101:101::1 3fff::1 3fff:fff::1 5f00::1 fc00::1 fd00::1
    fdff:ffff::1 fec0::1 4000::1 2606:4700::5efe:127.0.0.1 2606:4700::200:5efe:101:101 ::5efe:7f00:1 1::1
""")
# not even then; and texts that are no address
NEVER = words("""
    0.0.0.0 0.0.0.1 0.255.255.255 169.254.0.0 169.254.169.254 169.254.170.2 169.254.255.255 224.0.0.1
    239.255.255.255 255.255.255.255 100.100.100.200 168.63.129.16 192.0.0.192 :: fe80::1 fe80::1%eth0 febf::1
    fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:42::42 ff02::1 ff0e::1 ::ffff:169.254.169.254 ::ffff:0.0.0.0
    64:ff9b::169.254.169.254 64:ff9b::224.0.0.1 ::169.254.169.254 ::ffff:0:169.254.169.254
    64:ff9b:1::169.254.169.254 2002:a9fe:a9fe::1 2001:0:a9fe:a9fe::1 2001:0:101:101:0:0:5601:5601
    2606:4700::5efe:169.254.169.254 fd00::5efe:169.254.169.254 2606:4700::1%1 localhost 127.1 0177.0.0.1 2130706433
    １.1.1.1 1.1.1.1/32
    ::2 2001::1
""")
# URLs that two readers could read differently, or that are none
MALFORMED = words("""
    example.com //example.com/ https:/example.com https:example.com https:// https:///hook https://?x https://:443/
    ftp://example.com/ file:///etc/passwd javascript:alert(1) gopher://example.com/ httpss://example.com/
    https://user@example.com/ https://user:secret@example.com/ https://@example.com/ https://1.1.1.1@127.0.0.1/
    https://example.com/#f https://example.com# https://example.com/#@127.0.0.1 https://example.com:0/
    https://example.com:65536/ https://example.com:99999999/ https://example.com:-1/ https://example.com:+443/
    https://example.com:4_43/ https://example.com:443:443/ https://example.com:x/ https://example.com:４４３/
    https://example.com:/ https://exa%6dple.com/ https://example.com%2f@x/ https://example..com/
    https://.example.com/ https://example.com../ https://-a.example/ https://a-.example/ https://exa*mple.com/
    https://exam'ple.com/ https://example.com]/ https://[example.com]/ https://[::1 https://::1/ https://[::1]x/
    https://[v1.a]/ https://[fe80::1%25eth0]/ https://[fe80::1%eth0]/ https://[:::1]/ https://[1.1.1.1]/
    https://2130706433/ https://0x7f000001/ https://0x7f.1/ https://127.1/ https://127.0.1/ https://0177.0.0.1/
    https://0x7f.0x0.0x0.0x1/ https://017700000001/ https://127.0.0.1./ https://127.0.0.01/ https://127.0.0.256/
    https://1.1/ https://16843009/ https://1.1.1.1.1/ https://0/ https://0x/ https://a.0x1/ https://example.1/
""")
# of WEBHOOK_ALLOW_NETWORKS
WRONG_ENTRIES = words("""
    0.0.0.0/0 ::/0 0.0.0.0/1 128.0.0.0/1 2000::/3 [::/0]:443 0.0.0.0/0:443 ::ffff:0:0/96 ::ffff:7f00:1/128
    64:ff9b::/96 10.0.0.1/8 10.0.0.0/33 example.com localhost:80 10.0.0.0/8: 10.0.0.0/8:0 10.0.0.0/8:65536
    10.0.0.0/8:http 10.0.0.0/8:+80 [fd00::/8 [fd00::/8]80 [fd00::/8]: [fd00::/8]:x [] * 10.0.0.0/8,10.1.0.0/16
""")


def is_address(text: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(text)) or True
    return False


FORBIDDEN_ADDRESSES = [text for text in NOT_PUBLIC + NEVER if is_address(text)]

# what is the machine itself, or its network, for some reader of URLs; `PORT` is a listener's
SPELLINGS = words("""
    127.0.0.1 127.0.0.2 127.255.255.254 127.1 127.0.1 127.0.0.01 127.0.0.001 0127.0.0.1 0177.0.0.1 00177.0.0.1
    0177.0.0.01 0x7f.0.0.1 0x7f.1 0x7F.0x0.0x0.0x1 0x7f000001 0X7F000001 2130706433 02130706433 017700000001
    0o177.0.0.1 0b1111111.0.0.1 127.0.0.1. 127.0.0.1.. 127。0。0。1 127．0．0．1 127｡0｡0｡1 １２７.0.0.1 ①②⑦.0.0.1
    127.0.0.¹ 𝟭𝟮𝟳.𝟬.𝟬.𝟭 ⑴27.0.0.1 127%2e0%2e0%2e1 %31%32%37.0.0.1 127.0.0.1%00 127.0.0.1%20 127.0.0.1%0a
    0 0.0.0.0 00000000 0x0 00 0.0 [::] [::0] [0:0:0:0:0:0:0:0] [::1] [0:0:0:0:0:0:0:1] [0000::0001] [::0001]
    [::ffff:127.0.0.1] [::ffff:7f00:1] [::FFFF:7F00:0001] [0:0:0:0:0:ffff:127.0.0.1] [::127.0.0.1] [::7f00:1]
    [::ffff:0:127.0.0.1] [64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b:1::127.0.0.1] [2002:7f00:1::]
    [2002:7f00:0001::1] [2001:0:7f00:1::] [2001:0:4136:e378:8000:63bf:80ff:fffe] [fe80::5efe:127.0.0.1]
    [2606:4700::5efe:7f00:1] [2606:4700::200:5efe:7f00:1] [fec0::1] [fe80::1%25lo] [fe80::1%lo] [::1%25lo] [::1%1]
    [::1%25] [::ffff:127.0.0.1%25lo] [::ffff:0x7f.1] [::ffff:127.1] [::１] [127.0.0.1] [[::1]] [::1]. ::1
    localhost LOCALHOST localhost. ⓛocalhost ｌｏｃａｌｈｏｓｔ lo\u00adcalhost local\u200bhost loc\u2060alhost
    user@127.0.0.1 user:secret@127.0.0.1 @127.0.0.1 :@127.0.0.1 1.1.1.1@127.0.0.1 1.1.1.1:443@127.0.0.1
    1.1.1.1%40127.0.0.1 1.1.1.1\\@127.0.0.1 127.0.0.1\\@1.1.1.1 1.1.1.1#@127.0.0.1 1.1.1.1&@127.0.0.1
    1.1.1.1;@127.0.0.1 1.1.1.1,127.0.0.1 127.0.0.1,1.1.1.1 127.0.0.1;1.1.1.1 {127.0.0.1} 127.0.0.1'
    169.254.169.254 169.254.43518 169.16689662 2852039166 0xa9fea9fe 0xA9.0xFE.0xA9.0xFE 025177524776
    0251.0376.0251.0376 0251.254.169.254 169.254.169.254. １６９.254.169.254 [::ffff:169.254.169.254] [::ffff:a9fe:a9fe]
    [64:ff9b::a9fe:a9fe] [2002:a9fe:a9fe::] [fd00:ec2::254] [fe80::a9fe:a9fe] 169.254.170.2 100.100.100.200
    168.63.129.16 192.0.0.192 10.0.0.1 012.0.0.1 0xa.0.0.1 167772161 10.1 [::ffff:10.0.0.1] 192.168.0.1 0xc0a80001
    0300.0250.0.1 192.168.1 172.16.0.1 0254.020.0.1 [fc00::1] [fd00::1] 100.64.0.1 198.18.0.1 224.0.0.1 255.255.255.255
    [ff02::1] 192.88.99.1 240.0.0.1 [100::1] [5f00::1]
""")
# after scheme and host, or in place of them
TRICKS = [
    "https:127.0.0.1:PORT/", "https:/127.0.0.1:PORT/", "https:///127.0.0.1:PORT/", "https:\\\\127.0.0.1:PORT\\",
    "https://\t127.0.0.1:PORT/", "https://127.0\t.0.1:PORT/", "https://127.0.0.1\n:PORT/", "ht\ntps://127.0.0.1:PORT/",
    " https://127.0.0.1:PORT/", "\x00https://127.0.0.1:PORT/", "https://127.0.0.1:PORT/\r\nHost: 1.1.1.1",
    "https://127.0.0.1\x00.example.com:PORT/", "https://127.0.0.1 .example.com:PORT/", "https://127.0.0.1:0/",
    "https://127.0.0.1:+PORT/", "https://127.0.0.1:0PORT/", "https://127.0.0.1: PORT/", "https://127.0.0.1:PORT:443/",
    "http://127.0.0.1:PORT@1.1.1.1/", "http+unix://%2Fvar%2Frun%2Fdocker.sock/", "unix:/var/run/docker.sock",
    "file:///etc/passwd", "gopher://127.0.0.1:PORT/_x", "dict://127.0.0.1:PORT/", "ftp://127.0.0.1:PORT/",
    "ldap://127.0.0.1:PORT/", "data:text/html,x", "jar:http://127.0.0.1:PORT!/", "url:https://127.0.0.1:PORT/",
    "//127.0.0.1:PORT/", "127.0.0.1:PORT", "https://", "https://:PORT/", "https://?@127.0.0.1:PORT/",
]  # fmt: skip
# what name servers answer for one name
ANSWERS = [
    *([ip] for ip in FORBIDDEN_ADDRESSES),
    *(["1.1.1.1", ip] for ip in ("127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "fd00:ec2::254", "::ffff:7f00:1")),
    *([ip, "1.1.1.1"] for ip in ("127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "fd00:ec2::254", "::ffff:7f00:1")),
    [*(f"1.1.1.{last}" for last in range(1, 255)), "127.0.0.1"],
    ["127.0.0.1", *(f"2606:4700::{last:x}" for last in range(1, 255))],
    ["127.0.0.1", "::1"], ["fe80::1%2"], ["fe80::1%eth0", "1.1.1.1"], ["::1%1"], ["1.1.1.1", "2606:4700::1111%3"],
    ["not an address"], ["1.1.1.1", ""], ["127.1"], ["2130706433"],
]  # fmt: skip
# beside those that say http or https; PORT is that of a listener which nobody may come to
LOCATIONS = words("""
    http://127.0.0.1:PORT/ https://127.0.0.1:PORT/ //127.0.0.1:PORT/ http://[::1]:PORT/ http://[::ffff:127.0.0.1]:PORT/
    http://localhost:PORT/ http://2130706433:PORT/ http://0:PORT/ http://user:secret@127.0.0.1:PORT/
""")
