//! Address of this machine in its local network.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// An address of documentation (RFC 5737): connecting a UDP socket to it sends nothing, and chooses the network to the outside.
const OUTSIDE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// The address under which other machines may reach a server that listens on `listens`; `None` if there is none to be
/// known, or if it listens on this machine only.
pub fn network_address(listens: Option<IpAddr>) -> Option<IpAddr> {
    match listens? {
        address if address.is_loopback() => None,
        address if !address.is_unspecified() => Some(address),
        _ => {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
            socket.connect(OUTSIDE).ok()?;
            let address = socket.local_addr().ok()?.ip();
            (!address.is_loopback() && !address.is_unspecified()).then_some(address)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_loopback_is_not_in_the_network() {
        assert_eq!(network_address(Some(Ipv4Addr::LOCALHOST.into())), None);
        assert_eq!(network_address(None), None);
        let own = IpAddr::from([10, 1, 2, 3]);
        assert_eq!(network_address(Some(own)), Some(own));
        assert!(network_address(Some(Ipv4Addr::UNSPECIFIED.into())).is_none_or(|found| !found.is_loopback()));
    }
}
