//! Sockets inside instances' namespaces, from which an instance's own resolvers are asked.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::net::TcpSocket;
use trice_dns::sockets::{InstanceSockets, tcp_here, udp_here};
use trice_model::network::InstanceName;
use trice_network::namespace::in_namespace;

/// The namespaces that are there.
#[derive(Debug, Clone, Default)]
pub(crate) struct InNamespaces {
    namespaces: Arc<RwLock<BTreeMap<InstanceName, Arc<OwnedFd>>>>,
}

impl InNamespaces {
    /// Takes in an instance's namespace.
    pub(crate) fn insert(&self, name: InstanceName, namespace: OwnedFd) {
        self.namespaces.write().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::new(namespace));
    }

    /// Forgets one.
    pub(crate) fn remove(&self, name: &InstanceName) {
        self.namespaces.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn get(&self, name: &InstanceName) -> io::Result<Arc<OwnedFd>> {
        let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        namespaces.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl InstanceSockets for InNamespaces {
    fn udp(&self, instance: &InstanceName, server: IpAddr) -> io::Result<UdpSocket> {
        in_namespace(self.get(instance)?.as_fd(), || udp_here(server)).map_err(io::Error::other)?
    }

    fn tcp(&self, instance: &InstanceName, server: IpAddr) -> io::Result<TcpSocket> {
        in_namespace(self.get(instance)?.as_fd(), || tcp_here(server)).map_err(io::Error::other)?
    }
}
