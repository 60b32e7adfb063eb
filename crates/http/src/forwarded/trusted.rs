//! Whom to believe what they say about their clients: the setting `trusted_proxies`, read once at start.

use std::net::{IpAddr, Ipv6Addr};

/// Whose forwarding fields and PROXY headers are believed. The default is nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    unix: bool,
    everybody: bool,
}

/// A block of addresses; IPv4 as the IPv6 addresses that stand for them. No block has some of either: `::/0` is all of
/// IPv6, and says nothing of IPv4 peers, which have numbers within it only here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    first: u128,
    last: u128,
}

impl TrustedProxies {
    /// Reads `10.0.0.0/8,127.0.0.1,::1,unix,*`: addresses, networks, `unix` for whoever connects by a unix socket, and
    /// `*` for whoever connects at all. Empty means nobody. The error says which member is wrong and why.
    pub fn parse(text: &str) -> Result<TrustedProxies, String> {
        let mut made = TrustedProxies::default();
        if text.trim().is_empty() {
            return Ok(made);
        }
        for member in text.split(',').map(str::trim) {
            match member {
                "" => return Err(format!("{text:?} has an empty member")),
                "unix" => made.unix = true,
                "*" => made.everybody = true,
                _ => made.networks.push(Network::parse(member)?),
            }
        }
        Ok(made)
    }

    /// Whether nobody is trusted: nothing of this module needs to be asked then.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix && !self.everybody
    }

    /// Whether the other end of a connection is believed; None is a unix socket.
    #[inline]
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        self.everybody
            || match peer {
                None => self.unix,
                Some(address) => self.is_hop(address),
            }
    }

    /// Whether an address that a proxy names is again a proxy whose word counts.
    ///
    /// `*` says nothing about those: it is for platforms whose router has no fixed address, and it means that router
    /// only. Were it to mean every hop, the client would be whoever the client says.
    pub(super) fn is_hop(&self, address: IpAddr) -> bool {
        let number = number(address);
        self.networks.iter().any(|network| network.contains(number))
    }
}

impl Network {
    fn parse(member: &str) -> Result<Network, String> {
        let (address, length) = match member.split_once('/') {
            None => (member, None),
            Some((address, length)) => (address, Some(length)),
        };
        let address: IpAddr = address.parse().map_err(|_| {
            format!("{member:?} is neither an address, nor a network such as 10.0.0.0/8, nor unix, nor *")
        })?;
        let width: u32 = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => width,
            Some(digits) => match digits.parse::<u32>() {
                Ok(length) if length <= width && digits.bytes().all(|byte| byte.is_ascii_digit()) => length,
                _ => return Err(format!("{member:?} has a prefix length that is not within 0 and {width}")),
            },
        };
        let number = number(address);
        // Shifting by the whole width is no shift, hence the check.
        let hosts = match width - length {
            128 => u128::MAX,
            bits => (1u128 << bits) - 1,
        };
        if number & hosts != 0 {
            return Err(format!("{member:?} has bits behind its prefix length: an address or a network?"));
        }
        Ok(Network { first: number, last: number | hosts })
    }

    fn contains(&self, number: u128) -> bool {
        (self.first..=self.last).contains(&number) && is_ipv4(number) == is_ipv4(self.first)
    }
}

/// Whether the number is that of an IPv6 address that stands for an IPv4 one.
fn is_ipv4(number: u128) -> bool {
    number >> 32 == 0xFFFF
}

/// One number for an address, whichever way it is written.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
    .into()
}

/// An IPv4 address that came as the IPv6 one that stands for it, as itself.
pub(crate) fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => Ipv6Addr::to_canonical(&address),
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusts(setting: &str, peer: &str) -> bool {
        TrustedProxies::parse(setting).unwrap().trusts(Some(peer.parse().unwrap()))
    }

    #[test]
    fn nobody_by_default() {
        for text in ["", " "] {
            let nobody = TrustedProxies::parse(text).unwrap();
            assert!(nobody.is_empty() && nobody == TrustedProxies::default());
            assert!(!nobody.trusts(None) && !nobody.trusts(Some([127, 0, 0, 1].into())));
        }
    }

    #[test]
    fn addresses_and_networks() {
        for (setting, peer, want) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("::ffff:127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "::1", false),
            ("::1", "::1", true),
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "9.255.255.255", false),
            (" 10.0.0.0/8 , ::1 ", "::1", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::2", false),
            ("::/0", "::2", true),
            ("::/0", "1.2.3.4", false),
            ("::/0", "::ffff:1.2.3.4", false),
            ("::ffff:0:0/96", "1.2.3.4", true),
            ("::/64", "::1", true),
            ("::/64", "1.2.3.4", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("1.2.3.4/32", "1.2.3.4", true),
            ("unix", "127.0.0.1", false),
            ("*", "8.8.8.8", true),
        ] {
            assert_eq!(trusts(setting, peer), want, "{setting} {peer}");
        }
    }

    #[test]
    fn unix_sockets() {
        for (setting, want) in [("unix", true), ("*", true), ("0.0.0.0/0", false), ("", false)] {
            assert_eq!(TrustedProxies::parse(setting).unwrap().trusts(None), want, "{setting}");
        }
    }

    #[test]
    fn everybody_is_no_hop() {
        let trusted = TrustedProxies::parse("*,10.0.0.0/8").unwrap();
        assert!(trusted.is_hop([10, 1, 1, 1].into()) && !trusted.is_hop([8, 8, 8, 8].into()));
    }

    #[test]
    fn says_what_is_wrong() {
        for bad in [
            "localhost",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "::1/129",
            "10.0.0.1/8",
            "1.2.3",
            "01.2.3.4",
            "127.0.0.1,,::1",
            ",",
            "127.0.0.1:80",
            "[::1]",
            "::1/64",
        ] {
            let message = TrustedProxies::parse(bad).unwrap_err();
            assert!(message.contains('"'), "{message}");
        }
    }
}
