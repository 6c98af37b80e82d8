//! The machine's network, as QEMU plays it: a link-local net like that of the metadata
//! service, with DHCP, and behind it nothing but what is named here. Everything else is
//! refused, so that no test can reach a real metadata service.

use super::repository;

/// The metadata service's address on EC2.
const METADATA: &str = "169.254.169.254";

/// Where services of the machine that runs the tests are seen.
const HOST: &str = "169.254.0.10";

/// An address that answers to nobody.
const SILENT: &str = "169.254.0.11";

/// What the machine can reach.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    forwards: Vec<String>,
    open: bool,
}

impl Network {
    /// The metadata service is what listens on this port of the loopback.
    pub(crate) fn metadata(&mut self, port: u16) {
        self.forward(METADATA, 80, port);
    }

    /// Makes a port of the loopback reachable; the URL's beginning as the machine sees it.
    pub(crate) fn reach(&mut self, port: u16) -> String {
        self.forward(HOST, port, port);
        format!("http://{HOST}:{port}")
    }

    /// An address that takes connections to this port, and never says a word.
    pub(crate) fn silent(&mut self, port: u16) -> String {
        self.forwards.push(format!("guestfwd=tcp:{SILENT}:{port}-cmd:sleep 3600"));
        SILENT.to_owned()
    }

    /// Lets the machine out, into the network that the tests' machine is in.
    pub(crate) fn open(&mut self) {
        self.open = true;
    }

    fn forward(&mut self, address: &str, guest: u16, host: u16) {
        // QEMU splits the option at single commas, and the command as a shell would.
        let relay = repository().join("tests/vm/relay");
        let relay = super::console::quoted(&relay.to_string_lossy()).replace(',', ",,");
        self.forwards.push(format!("guestfwd=tcp:{address}:{guest}-cmd:{relay} {host}"));
    }

    /// QEMU's arguments.
    pub(crate) fn arguments(&self) -> [String; 4] {
        let mut user = String::from(
            "user,id=net,net=169.254.0.0/16,host=169.254.0.2,dns=169.254.0.3,dhcpstart=169.254.10.15,ipv6=off",
        );
        if !self.open {
            user.push_str(",restrict=on");
        }
        for forward in &self.forwards {
            user.push(',');
            user.push_str(forward);
        }
        ["-netdev".into(), user, "-device".into(), "virtio-net-pci,netdev=net,romfile=".into()]
    }
}
