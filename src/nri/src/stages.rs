//! The stages of what plugins are asked.

peapod_trace::stages! {
    /// Calls before it, or its synchronisation.
    TURN = "plugin turn", "the NRI plugin {} to be done with what came before";
    /// A call.
    PLUGIN = "plugin", "the NRI plugin {} to answer";
    /// What plugins want of other containers.
    UPDATES = "plugin updates", "changes of other containers that NRI plugins want";
}
