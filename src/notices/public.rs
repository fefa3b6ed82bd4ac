//! Which addresses are public. Webhooks go to addresses that an admin of one account wrote: through
//! them nobody may reach what only this machine and its network can (SSRF).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks of IPv4 that are not public (IANA's special-purpose registry), each with its length:
/// this host, private, shared, loopback, link-local with the clouds' metadata, IETF, documentation,
/// 6to4 relays, benchmarks, multicast, reserved.
const NOT_PUBLIC: [([u8; 4], u32); 15] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// Whether an address is one of the public Internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    let within = |(network, length): &([u8; 4], u32)| {
        (bits ^ Ipv4Addr::from(*network).to_bits()) >> (32 - length) == 0
    };
    !NOT_PUBLIC.iter().any(within)
}

/// Of IPv6 only what is given out as global unicast, `2000::/3`, without what tunnels into IPv4 (6to4,
/// Teredo), documents, or is the IETF's. Addresses that hold one of IPv4 are none of these.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let special = match first {
        0x2001 => second < 0x0200 || second == 0x0db8,
        0x2002 => true,
        0x3fff => second < 0x1000,
        _ => false,
    };
    first & 0xe000 == 0x2000 && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_internet_is_public() {
        let inside = "0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 \
            172.31.255.255 192.0.0.1 192.0.2.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.7 \
            203.0.113.9 224.0.0.1 240.0.0.1 255.255.255.255 \
            :: ::1 ::ffff:10.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 64:ff9b::a00:1 fc00::1 fd00:ec2::254 \
            fe80::1 fec0::1 ff02::1 2001::1 2001:db8::1 2002:a00:1::1 3fff::1";
        for address in inside.split_whitespace() {
            let parsed = address.parse().expect(address);
            assert!(!is_public(parsed), "{address}");
        }
        let outside = "1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 \
            198.17.255.255 198.20.0.0 223.255.255.255 2606:4700::1111 2a00:1450::1 2001:4860::8888";
        for address in outside.split_whitespace() {
            let parsed = address.parse().expect(address);
            assert!(is_public(parsed), "{address}");
        }
    }
}
