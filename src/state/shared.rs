//! What the replicas of one server share, as far as it can be seen from outside.

/// How the store that replicas share is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedStatus {
    /// Where it is, without user and password.
    pub place: String,
    /// The name of this replica there.
    pub replica: String,
    /// Why it is not used now; nothing while it is.
    pub fault: Option<String>,
    /// Connections that are open.
    pub connections: usize,
    /// Operations that it carried out.
    pub operations: u64,
    /// Operations that failed, or were not tried because it is not usable.
    pub failures: u64,
}

/// The store that replicas share.
pub trait SharedStore: Send + Sync {
    /// How it is doing.
    fn status(&self) -> SharedStatus;
}
