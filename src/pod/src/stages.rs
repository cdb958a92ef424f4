//! The stages of what is done with pods and containers: what calls and jobs say that they wait for.

peapod_trace::stages! {
    // A call, until its pod's actor has it.
    /// Room on the disks and in lists.
    ADMISSION = "admission", "room for it";
    /// The pod's actor takes what it is asked, or is made anew after a defect.
    QUEUE = "queue", "its pod's turn";

    // A call, as its pod's machine has it; those that are jobs have stages of their own.
    /// A commit.
    RECORD = "record", "its record to be on disk";
    /// The pod of an earlier daemon.
    RECOVERY = "recovery", "its pod to be recovered";
    /// Processes that have been told to end.
    PROCESSES = "processes", "its processes to end";
    /// Those of all containers of a pod.
    CONTAINERS = "containers", "its containers to end";
    /// `Job::SetUp`.
    SET_UP = "set-up", "its pod to be made";
    /// `Job::TakeBack`.
    TAKE_BACK = "take back", "what an earlier daemon left of it to be undone";
    /// `Job::Reconnect`.
    RECONNECT = "reconnect", "its pod's shim to answer";
    /// `Job::Watch`, which nobody waits for.
    WATCH = "watch", "events of its shim";
    /// `Job::Kill`.
    KILL = "kill", "its shim to kill all that runs in it";
    /// `Job::CleanUp`.
    CLEAN_UP = "clean up", "what its dead shim left to be cleaned up";
    /// `Job::Release`.
    RELEASE = "release", "its shim to end and its network to be given back";
    /// `Job::RemoveFiles`, and `Job::Remove`.
    REMOVE = "remove", "its files to be removed";
    /// `Job::EndStray`, and `Job::Discard`.
    DISCARD = "discard", "what nobody can ask for to be given back";
    /// `Job::Create`.
    CREATE = "create", "it to be made";
    /// `Job::Start`.
    START = "start", "it to be started";
    /// `Job::Stop`.
    STOP = "stop", "its pod's shim to take the stop";
    /// `Job::Update`.
    UPDATE = "update", "its limits to be changed";
    /// `Job::Delete`.
    DELETE = "delete", "its pod's shim to give up what it holds";

    // A pod's making.
    /// The pod's folder.
    FOLDER = "folder", "its folder";
    /// The shim's start, until it answers.
    SHIM = "shim", "its shim to start";
    /// The network: what that does is in it.
    NETWORK = "network", "its network";
    /// Namespaces and mounts, and pod init.
    NAMESPACES = "namespaces", "its shim to make its namespaces";
    /// hostname, hosts and resolv.conf.
    FILES = "files", "its files to be written";
    /// What was made of one that can't be made goes.
    UNDO = "undo", "what was made of it to be undone";

    // A container's making.
    /// Its image, whose layers are leased.
    LAYERS = "layers", "the layers of its image";
    /// What the configuration follows from.
    LOOK_UP = "look-up", "its mounts and devices to be looked at";
    /// The node's plugins say what it shall be like.
    PLUGINS = "plugins", "the node's NRI plugins";
    /// The daemon has just begun, and starts those that are installed.
    PLUGINS_START = "plugins start", "the node's installed NRI plugins to be started";
    /// The configuration, kept for the start.
    CONFIGURATION = "configuration", "its configuration to be written";

    // A container's start.
    /// The limit on starts.
    TURN = "turn", "its turn: few containers are started at a time";
    /// The process whose PID namespace the pod shares.
    POD_INIT = "pod init", "its pod's first process";
    /// Folders and config.json.
    LAY_OUT = "lay out", "its folders and its config.json";
    /// The shim mounts the root file system, opens the log and has the OCI runtime create the process.
    RUNTIME_CREATE = "runtime create", "the OCI runtime {} to create it";
    /// The OCI runtime lets the process go.
    RUNTIME_START = "runtime start", "the OCI runtime {} to start it";

    // A container's update.
    /// The OCI runtime, or the cgroup itself.
    RUNTIME_UPDATE = "runtime update", "the OCI runtime {} to change its limits";

    // A container's checkpoint.
    /// Room for it, and whether it can be done.
    CHECKPOINT_ROOM = "checkpoint room", "room for its checkpoint";
    /// The OCI runtime has CRIU write its processes, which are paused.
    RUNTIME_CHECKPOINT = "runtime checkpoint", "the OCI runtime {} and CRIU to write its processes";
    /// What it has changed of its image is copied; it is paused.
    CHECKPOINT_FILES = "checkpoint files", "its files to be copied";
    /// All of that becomes an archive; it runs.
    CHECKPOINT_ARCHIVE = "checkpoint archive", "its archive to be written";
    /// A checkpoint is unpacked for a container that is made of it.
    RESTORE_UNPACK = "restore unpack", "its checkpoint to be unpacked";

    // A pod's end.
    /// The shim's end.
    END_SHIM = "end shim", "its shim to end";

    // A command.
    /// The OCI runtime starts it.
    RUNTIME_EXEC = "runtime exec", "the OCI runtime to start the command";
    /// It runs.
    COMMAND = "command", "the command to end";
    /// What is left of it goes.
    COMMAND_END = "command's end", "what the command left to be removed";
}
