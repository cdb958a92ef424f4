//! The stages of connecting a pod and of taking its network away.

peapod_trace::stages! {
    /// What goes on for the same pod, or for others; few attachments are made at a time.
    TURN = "turn", "its turn: few pods are connected at a time";
    /// Which network it is, and whether the ports are free.
    CHOICE = "choice", "the look for its network's configuration and its ports";
    /// The record.
    RECORD = "record", "its network's record to be on disk";
    /// The network namespace.
    NAMESPACE = "namespace", "its network namespace";
    /// A plugin: its name and the command.
    PLUGIN = "CNI plugin", "CNI plugin {}";
    /// The bridge and the tables, made if they are missing.
    BRIDGE = "bridge", "the bridge and its tables";
    /// The links and what the bridge knows of them.
    LINKS = "links", "its links";
    /// The tables' entries.
    RULES = "rules", "its rules";
    /// Addresses and routes.
    ADDRESSES = "addresses", "its addresses and routes";
    /// What was made is taken away.
    REMOVAL = "removal", "what was made of its network to be taken away";
}
