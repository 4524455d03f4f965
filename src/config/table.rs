//! The directives: one row each.
//! For: everything that needs a directive's name, kind, default, flags or description.
//! May touch: nothing.
//! Always: a directive is in this table once, and nothing about it is written down anywhere else; defaults
//! have the form they would have in a file.

use bitflags::bitflags;

bitflags! {
    /// What is special about a directive.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u16 {
        /// CONFIG SET refuses it.
        const IMMUTABLE = 1;
        /// CONFIG GET answers its exact name only, never a pattern.
        const HIDDEN = 1 << 1;
        /// CONFIG SET needs `enable-protected-configs`.
        const PROTECTED = 1 << 2;
        /// Its value is kept out of logs.
        const SENSITIVE = 1 << 3;
        /// Accepted and remembered, but this server has no use for it.
        const NO_EFFECT = 1 << 4;
        /// CONFIG SET refuses it while a dataset is being loaded.
        const DENY_LOADING = 1 << 5;
        /// Setting it to the value it has counts as a change (files that are read again).
        const VOLATILE = 1 << 6;
        /// An empty value means "not set", so CONFIG REWRITE leaves no line for it.
        const NULLABLE = 1 << 7;
        /// Has no effect though data, access or other servers may depend on it: the log warns.
        const RELIED_ON = 1 << 8;
    }
}

/// What values a directive takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    /// A feature that does not exist here: `no`. A file may say `yes` (it is noted), CONFIG SET may not.
    Never(&'static str),
    /// A whole number within bounds (inclusive).
    Int(i64, i64),
    /// Bytes, with units, within bounds (inclusive).
    Memory(u64, u64),
    /// Bytes, with units, or -1.
    MemoryOrOff,
    /// Bytes, with units, or a percentage of `maxmemory`.
    MemoryOrPercent,
    /// An octal number up to a bound (inclusive).
    Octal(i64),
    /// One of the words.
    Choice(&'static [&'static str]),
    /// Any of the words, the first of which means none.
    Bits(&'static [&'static str]),
    /// Bytes that pass a check.
    Text(Check),
    /// Pairs of seconds and changes.
    Save,
    /// Client classes with their hard limit, soft limit and seconds.
    OutputLimits,
    /// Addresses to listen on.
    Bind,
    /// Letters naming classes of keyspace events.
    Events,
    /// Three numbers, for primary, replica and background child.
    OomScores,
    /// Percentiles, 0 to 100.
    Percentiles,
    /// Host and port of a primary, or `no one`.
    ReplicaOf,
    /// A directory that exists.
    Directory,
    /// Not a setting but a statement of the file, with at least and at most so many words after its name.
    Statement(usize, usize),
    /// A setting of the past: a file may have it, nothing else knows it.
    Retired,
}

/// What a text has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Check {
    /// Anything.
    Any,
    /// Not empty; the word is used in errors.
    Filled(&'static str),
    /// A file name without a directory; the word is used in errors.
    FileName(&'static str),
    /// A host name.
    Hostname,
    /// The name a cluster node shows to people.
    NodeName,
    /// An address for a cluster node to announce.
    AnnouncedIp,
    /// An IPv4 address or nothing.
    Ipv4,
    /// An IPv6 address or nothing.
    Ipv6,
    /// A title with variables in braces.
    Title,
    /// A collation this server has: bytewise.
    Locale,
    /// A 64-bit unsigned number or nothing.
    Seed,
    /// Nothing: the feature is not there.
    NoRdma,
}

/// All there is to know of a directive.
#[derive(Debug)]
pub struct Row {
    /// Which one it is.
    pub directive: Directive,
    /// Its name, lower case.
    pub name: &'static str,
    /// Its other name, or nothing.
    pub aliases: &'static [&'static str],
    /// The heading it stands under in the example file.
    pub section: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// What it is unless set, as a file would say it.
    pub default: &'static str,
    /// What is special about it.
    pub flags: Flags,
    /// One line for the example file.
    pub doc: &'static str,
}

impl Row {
    /// True when several words after the name belong to one value.
    pub fn is_multi(&self) -> bool {
        use Kind::{Bind, Bits, OomScores, OutputLimits, Percentiles, ReplicaOf, Save};
        matches!(self.kind, Bits(_) | Save | OutputLimits | Bind | OomScores | Percentiles | ReplicaOf)
    }

    /// True when CONFIG GET and SET know it.
    pub fn is_setting(&self) -> bool {
        !matches!(self.kind, Kind::Statement(..) | Kind::Retired)
    }

    /// `name` in the table's spelling when it is this row's name or alias, in any case.
    pub fn answers_to(&self, name: &[u8]) -> Option<&'static str> {
        let names = std::iter::once(&self.name).chain(self.aliases);
        names.copied().find(|n| n.as_bytes().eq_ignore_ascii_case(name))
    }
}

impl Directive {
    /// The directive's row.
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The directive called `name`, in any case, by its name or an alias.
    pub fn named(name: &[u8]) -> Option<Directive> {
        TABLE.iter().find(|row| row.answers_to(name).is_some()).map(|row| row.directive)
    }
}

const I32_MAX: i64 = i32::MAX as i64;
const I32_MIN: i64 = i32::MIN as i64;
const U32_MAX: i64 = u32::MAX as i64;
const I64_MAX: i64 = i64::MAX;
const SIZE_MAX: u64 = i64::MAX as u64;
const MB: u64 = 1 << 20;

/// Who may do something guarded.
const ALLOWED: &[&str] = &["no", "yes", "local"];
/// What a signal to shut down asks for.
const SHUTDOWN: &[&str] = &["default", "save", "nosave", "now", "force", "safe", "failover"];
const NO_DEFRAG: &str = "Active defragmentation cannot be enabled: it requires a server compiled with a \
                         modified Jemalloc like the one shipped by default with the source distribution";

macro_rules! directives {
    ($($section:literal { $(
        $id:ident $name:literal $(| $alias:literal)* :
            $kind:expr, $default:literal, [$($flag:ident)*], $doc:literal;
    )* })*) => {
        /// A directive of the configuration; its row says all about it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Directive { $($($id,)*)* }

        /// Every directive's row, in the order of [`Directive`].
        pub const TABLE: &[Row] = &{
            use Kind::*;
            [$($(Row {
                directive: Directive::$id,
                name: $name,
                aliases: &[$($alias),*],
                section: $section,
                kind: $kind,
                default: $default,
                flags: Flags::empty()$(.union(Flags::$flag))*,
                doc: $doc,
            },)*)*]
        };
    };
}

directives! {
    "Files" {
        Include "include": Statement(1, 1), "", [],
            "Reads another file at this place; wildcards are allowed, and may match nothing.";
        LoadModule "loadmodule": Statement(1, usize::MAX), "", [],
            "Modules in C cannot be loaded; the line is noted and kept.";
        RenameCommand "rename-command": Statement(2, 2), "", [],
            "Gives a command another name, or none (\"\"), which takes it away.";
        Sentinel "sentinel": Statement(0, usize::MAX), "", [],
            "Sentinel has its own program and its own file.";
    }
    "Network" {
        Bind "bind": Bind, "* -::*", [],
            "Addresses to listen on; one that begins with - may be missing.";
        BindSourceAddr "bind-source-addr": Text(Check::Any), "", [NULLABLE NO_EFFECT],
            "Local address of connections this server opens; it opens none.";
        ProtectedMode "protected-mode": Bool, "yes", [],
            "Refuses remote clients while nothing is bound by name and no password is set.";
        Port "port": Int(0, 65535), "6379", [], "TCP port; 0 for none.";
        TcpBacklog "tcp-backlog": Int(0, I32_MAX), "511", [IMMUTABLE],
            "Connections the kernel may hold before they are accepted.";
        UnixSocket "unixsocket": Text(Check::Any), "", [IMMUTABLE NULLABLE],
            "Path of a Unix socket to listen on.";
        UnixSocketGroup "unixsocketgroup": Text(Check::Any), "", [IMMUTABLE NULLABLE],
            "Group that owns the Unix socket.";
        UnixSocketPerm "unixsocketperm": Octal(0o777), "0", [IMMUTABLE],
            "Mode of the Unix socket, octal; 0 leaves it to the umask.";
        Timeout "timeout": Int(0, I32_MAX), "0", [],
            "Seconds after which an idle client is closed; 0 for never.";
        TcpKeepalive "tcp-keepalive": Int(0, I32_MAX), "300", [],
            "Seconds between keepalive probes; 0 for none.";
        SocketMarkId "socket-mark-id": Int(0, U32_MAX), "0", [IMMUTABLE NO_EFFECT],
            "Mark for the packets of this server's sockets.";
        Mptcp "mptcp": Bool, "no", [IMMUTABLE NO_EFFECT], "Multipath TCP for clients.";
        MaxNewConnections "max-new-connections-per-cycle": Int(1, 1000), "10", [NO_EFFECT],
            "Connections accepted in one go.";
        RdmaPort "rdma-port": Int(0, 65535), "0", [NO_EFFECT], "RDMA port.";
        RdmaBind "rdma-bind": Text(Check::NoRdma), "", [NO_EFFECT NULLABLE], "RDMA addresses.";
        RdmaRxSize "rdma-rx-size": Int(65536, 16777216), "1048576", [IMMUTABLE NO_EFFECT],
            "RDMA receive buffer.";
        RdmaCompletionVector "rdma-completion-vector": Int(-1, 1024), "-1", [IMMUTABLE NO_EFFECT],
            "RDMA completion vector.";
    }
    "TLS" {
        TlsPort "tls-port": Int(0, 65535), "0", [NO_EFFECT RELIED_ON], "TCP port for TLS; 0 for none.";
        TlsCertFile "tls-cert-file": Text(Check::Any), "", [VOLATILE NULLABLE NO_EFFECT],
            "Certificate shown to clients.";
        TlsKeyFile "tls-key-file": Text(Check::Any), "", [VOLATILE NULLABLE NO_EFFECT],
            "Private key of that certificate.";
        TlsKeyFilePass "tls-key-file-pass": Text(Check::Any), "", [SENSITIVE NULLABLE NO_EFFECT],
            "Passphrase of that key.";
        TlsClientCertFile "tls-client-cert-file": Text(Check::Any), "", [VOLATILE NULLABLE NO_EFFECT],
            "Certificate for connections this server opens.";
        TlsClientKeyFile "tls-client-key-file": Text(Check::Any), "", [VOLATILE NULLABLE NO_EFFECT],
            "Private key of that certificate.";
        TlsClientKeyFilePass "tls-client-key-file-pass": Text(Check::Any), "", [SENSITIVE NULLABLE NO_EFFECT],
            "Passphrase of that key.";
        TlsDhParamsFile "tls-dh-params-file": Text(Check::Any), "", [VOLATILE NULLABLE NO_EFFECT],
            "Diffie-Hellman parameters.";
        TlsCaCertFile "tls-ca-cert-file": Text(Check::Any), "", [VOLATILE NULLABLE NO_EFFECT],
            "Authorities that clients' certificates are checked against.";
        TlsCaCertDir "tls-ca-cert-dir": Text(Check::Any), "", [VOLATILE NULLABLE NO_EFFECT],
            "The same, as a directory.";
        TlsAuthClients "tls-auth-clients": Choice(&["no", "yes", "optional"]), "yes", [NO_EFFECT],
            "Whether clients need a certificate.";
        TlsAuthClientsUser "tls-auth-clients-user": Choice(&["CN", "URI", "off"]), "off", [NO_EFFECT],
            "Field of a client's certificate that names its user.";
        TlsReplication "tls-replication": Bool, "no", [NO_EFFECT], "TLS towards the primary.";
        TlsCluster "tls-cluster": Bool, "no", [NO_EFFECT], "TLS between cluster nodes.";
        TlsProtocols "tls-protocols": Text(Check::Any), "", [NULLABLE NO_EFFECT],
            "Versions allowed, such as \"TLSv1.2 TLSv1.3\"; empty for the usual ones.";
        TlsCiphers "tls-ciphers": Text(Check::Any), "", [NULLABLE NO_EFFECT],
            "Ciphers allowed up to TLS 1.2.";
        TlsCiphersuites "tls-ciphersuites": Text(Check::Any), "", [NULLABLE NO_EFFECT],
            "Cipher suites allowed in TLS 1.3.";
        TlsPreferServerCiphers "tls-prefer-server-ciphers": Bool, "no", [NO_EFFECT],
            "Whether the server's order of ciphers counts.";
        TlsSessionCaching "tls-session-caching": Bool, "yes", [NO_EFFECT],
            "Whether clients may resume sessions.";
        TlsSessionCacheSize "tls-session-cache-size": Int(0, I32_MAX), "20480", [NO_EFFECT],
            "Sessions remembered; 0 for no limit.";
        TlsSessionCacheTimeout "tls-session-cache-timeout": Int(0, I32_MAX), "300", [NO_EFFECT],
            "Seconds a session is remembered.";
        TlsAutoReloadInterval "tls-auto-reload-interval": Int(0, I32_MAX), "0", [NO_EFFECT],
            "Seconds between looks at the certificate files; 0 for none.";
        MaxNewTlsConnections "max-new-tls-connections-per-cycle": Int(1, 1000), "1", [NO_EFFECT],
            "TLS connections accepted in one go.";
    }
    "General" {
        Daemonize "daemonize": Bool, "no", [IMMUTABLE], "Runs in the background.";
        Supervised "supervised": Choice(&["upstart", "systemd", "auto", "no"]), "no", [IMMUTABLE],
            "Tells a supervisor when the server is ready.";
        PidFile "pidfile": Text(Check::Any), "", [IMMUTABLE NULLABLE],
            "File that holds the process id while the server runs.";
        LogLevel "loglevel": Choice(&["debug", "verbose", "notice", "warning", "nothing"]), "notice", [],
            "Least important messages that are logged.";
        LogFormat "log-format": Choice(&["legacy", "logfmt", "json"]), "legacy", [],
            "Form of a log line.";
        LogTimestampFormat "log-timestamp-format":
            Choice(&["legacy", "iso8601", "milliseconds"]),
            "legacy", [], "Form of a log line's time.";
        LogFile "logfile": Text(Check::Any), "", [IMMUTABLE], "Log file; \"\" for standard output.";
        HideUserDataFromLog "hide-user-data-from-log": Bool, "yes", [NO_EFFECT],
            "The server never logs keys, values or names of clients by itself.";
        SyslogEnabled "syslog-enabled": Bool, "no", [IMMUTABLE NO_EFFECT],
            "Logs to the system log as well.";
        SyslogIdent "syslog-ident": Text(Check::Any), "ochre", [IMMUTABLE NO_EFFECT],
            "Name in the system log.";
        SyslogFacility "syslog-facility":
            Choice(&["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
            "local7"]),
            "local0", [IMMUTABLE NO_EFFECT], "Facility in the system log.";
        CrashLogEnabled "crash-log-enabled": Bool, "yes", [NO_EFFECT],
            "A panic is always logged; of a signal that ends the server no report is written.";
        CrashMemcheckEnabled "crash-memcheck-enabled": Bool, "yes", [NO_EFFECT],
            "Tests memory after a crash.";
        Databases "databases": Int(1, I32_MAX), "16", [IMMUTABLE], "Number of databases.";
        AlwaysShowLogo "always-show-logo": Bool, "no", [IMMUTABLE],
            "Shows the start banner in a log file too.";
        SetProcTitle "set-proc-title": Bool, "yes", [IMMUTABLE NO_EFFECT],
            "The process title stays the command line.";
        ProcTitleTemplate "proc-title-template":
            Text(Check::Title),
            "\"{title} {listen-addr} {server-mode}\"", [NO_EFFECT], "See set-proc-title.";
        LocaleCollate "locale-collate": Text(Check::Locale), "", [NO_EFFECT],
            "Collation of SORT ALPHA; only the bytewise one is there.";
        ExtendedRedisCompatibility "extended-redis-compatibility": Bool, "no", [NO_EFFECT],
            "The server always calls itself redis where clients ask for it.";
        AvailabilityZone "availability-zone": Text(Check::Any), "", [],
            "Zone this server runs in, shown by INFO and HELLO.";
        IgnoreWarnings "ignore-warnings": Text(Check::Any), "", [NO_EFFECT],
            "No warning stops the server when it starts.";
        IoThreads "io-threads": Int(0, 256), "0", [],
            "Worker threads, each of which runs commands; 0 for as many as there are cores.";
        CoalesceUs "coalesce-us": Int(0, 1000), "50", [HIDDEN],
            "Microseconds that a worker may rest so that requests of many clients are served together; 0 for none.";
        IoThreadsDoReads "io-threads-do-reads": Bool, "no", [IMMUTABLE HIDDEN NO_EFFECT],
            "Reading is always done by the worker threads.";
        IoThreadsAlwaysActive "io-threads-always-active": Bool, "no", [HIDDEN NO_EFFECT],
            "Worker threads sleep when there is nothing to do.";
        EventsPerIoThread "events-per-io-thread": Int(0, I32_MAX), "2", [HIDDEN NO_EFFECT],
            "Worker threads need no tuning by events.";
        PrefetchBatchMaxSize "prefetch-batch-max-size": Int(0, 128), "16", [NO_EFFECT],
            "How far ahead keys are fetched into the cache is not to be set.";
        ServerCpuList "server-cpulist" | "server_cpulist":
            Text(Check::Any),
            "", [IMMUTABLE NULLABLE NO_EFFECT], "Cores for the worker threads.";
        BioCpuList "bio-cpulist" | "bio_cpulist": Text(Check::Any), "", [IMMUTABLE NULLABLE NO_EFFECT],
            "Cores for background threads.";
        AofRewriteCpuList "aof-rewrite-cpulist" | "aof_rewrite_cpulist":
            Text(Check::Any),
            "", [IMMUTABLE NULLABLE NO_EFFECT], "Cores for rewriting the append-only file.";
        BgsaveCpuList "bgsave-cpulist" | "bgsave_cpulist":
            Text(Check::Any),
            "", [IMMUTABLE NULLABLE NO_EFFECT], "Cores for saving.";
        Seed "seed": Text(Check::Seed), "", [IMMUTABLE HIDDEN NULLABLE],
            "Number that fixes everything left to chance; empty for a new one at each start.";
        HashSeed "hash-seed": Text(Check::Any), "", [IMMUTABLE NULLABLE NO_EFFECT],
            "Seed of the key hash; see seed.";
        Hz "hz": Int(0, I32_MAX), "10", [], "Runs of the periodic work per second, 1 to 500.";
        DynamicHz "dynamic-hz": Bool, "yes", [HIDDEN NO_EFFECT],
            "Periodic work does not depend on the number of clients.";
        ActiveRehashing "activerehashing": Bool, "yes", [NO_EFFECT],
            "Tables grow one bucket at a time, always.";
        DisableThp "disable-thp": Bool, "yes", [IMMUTABLE NO_EFFECT],
            "Huge pages are used where memory grows: there is no fork that they would slow down.";
        JemallocBgThread "jemalloc-bg-thread": Bool, "yes", [NO_EFFECT],
            "The allocator is another one.";
    }
    "Commands for testing and administration" {
        DevCommands "dev-commands": Choice(ALLOWED), "local", [IMMUTABLE HIDDEN],
            "Who may use the commands for development: nobody, anybody, or clients on this machine.";
        EnableProtectedConfigs "enable-protected-configs": Choice(ALLOWED), "no", [IMMUTABLE],
            "Who may set dir and dbfilename at run time.";
        EnableDebugCommand "enable-debug-command": Choice(ALLOWED), "no", [IMMUTABLE],
            "Who may use DEBUG.";
        EnableModuleCommand "enable-module-command": Choice(ALLOWED), "no", [IMMUTABLE],
            "Who may use MODULE.";
        EnableDebugAssert "enable-debug-assert": Bool, "no", [IMMUTABLE HIDDEN NO_EFFECT],
            "Costly self-checks.";
        UseExitOnPanic "use-exit-on-panic": Bool, "no", [HIDDEN],
            "Exits instead of aborting when the server finds itself broken.";
        WatchdogPeriod "watchdog-period": Int(0, I32_MAX), "0", [HIDDEN NO_EFFECT],
            "No watchdog looks for a hanging server.";
        DebugContext "debug-context": Text(Check::Any), "", [HIDDEN NO_EFFECT],
            "Crash reports have no words of their own.";
        PropagationErrorBehavior "propagation-error-behavior":
            Choice(&["ignore", "panic", "panic-on-replicas"]),
            "ignore", [NO_EFFECT], "What to do when a replicated command fails; there is no replication.";
    }
    "Snapshots" {
        Save "save": Save, "3600 1 300 100 60 10000", [NO_EFFECT RELIED_ON],
            "Seconds and changes after which the dataset is saved; \"\" for never.";
        StopWritesOnBgsaveError "stop-writes-on-bgsave-error": Bool, "yes", [NO_EFFECT],
            "Refuses writes when the last save failed.";
        RdbCompression "rdbcompression": Bool, "yes", [], "Compresses long strings in the file.";
        RdbChecksum "rdbchecksum": Bool, "yes", [IMMUTABLE NO_EFFECT], "Ends the file with a checksum.";
        RdbVersionCheck "rdb-version-check": Choice(&["strict", "relaxed"]), "strict", [NO_EFFECT],
            "Whether files of unknown versions are refused.";
        SanitizeDumpPayload "sanitize-dump-payload":
            Choice(&["no", "yes", "clients"]),
            "no", [HIDDEN NO_EFFECT], "Payloads are always checked in full.";
        DbFilename "dbfilename": Text(Check::FileName("dbfilename")), "dump.rdb", [PROTECTED NO_EFFECT],
            "Name of the file.";
        RdbDelSyncFiles "rdb-del-sync-files": Bool, "no", [NO_EFFECT],
            "Deletes files made for replication only.";
        Dir "dir": Directory, ".", [PROTECTED DENY_LOADING], "Directory of all data files.";
        RdbSaveIncrementalFsync "rdb-save-incremental-fsync": Bool, "yes", [NO_EFFECT],
            "Syncs the file to disk while it is written.";
        RdbKeySaveDelay "rdb-key-save-delay": Int(I32_MIN, I32_MAX), "0", [HIDDEN NO_EFFECT],
            "Microseconds to wait after each key saved; negative: keys per microsecond.";
        KeyLoadDelay "key-load-delay": Int(I32_MIN, I32_MAX), "0", [HIDDEN NO_EFFECT],
            "Microseconds to wait after each key loaded; negative: keys per microsecond.";
        LoadingProcessEventsIntervalBytes "loading-process-events-interval-bytes":
            Int(1024, I32_MAX),
            "2097152", [HIDDEN NO_EFFECT], "Bytes loaded between looks at the clients.";
    }
    "Replication" {
        ReplicaOf "replicaof" | "slaveof": ReplicaOf, "no one", [IMMUTABLE NO_EFFECT RELIED_ON],
            "Host and port of the primary this server copies.";
        PrimaryAuth "primaryauth" | "masterauth": Text(Check::Any), "", [SENSITIVE NULLABLE NO_EFFECT],
            "Password for the primary.";
        PrimaryUser "primaryuser" | "masteruser": Text(Check::Any), "", [SENSITIVE NULLABLE NO_EFFECT],
            "User for the primary.";
        ReplicaServeStaleData "replica-serve-stale-data" | "slave-serve-stale-data": Bool, "yes", [NO_EFFECT],
            "Answers reads while the primary is out of reach.";
        ReplicaReadOnly "replica-read-only" | "slave-read-only": Bool, "yes", [NO_EFFECT],
            "Refuses writes of clients on a replica.";
        ReplicaIgnoreMaxmemory "replica-ignore-maxmemory" | "slave-ignore-maxmemory":
            Bool,
            "yes", [NO_EFFECT], "Leaves eviction to the primary.";
        ReplicaIgnoreDiskWriteErrors "replica-ignore-disk-write-errors": Bool, "no", [NO_EFFECT],
            "Goes on replicating when the disk fails.";
        ReplicaLazyFlush "replica-lazy-flush" | "slave-lazy-flush": Bool, "yes", [NO_EFFECT],
            "Old data are always freed in the background.";
        ReplicaPriority "replica-priority" | "slave-priority": Int(0, I32_MAX), "100", [NO_EFFECT],
            "Rank for promotion, lowest first; 0 for never.";
        ReplicaAnnounced "replica-announced": Bool, "yes", [NO_EFFECT],
            "Whether Sentinel speaks of this replica.";
        ReplicaAnnounceIp "replica-announce-ip" | "slave-announce-ip":
            Text(Check::Any),
            "", [NULLABLE NO_EFFECT], "Address to tell the primary.";
        ReplicaAnnouncePort "replica-announce-port" | "slave-announce-port": Int(0, 65535), "0", [NO_EFFECT],
            "Port to tell the primary; 0 for the real one.";
        MinReplicasToWrite "min-replicas-to-write" | "min-slaves-to-write":
            Int(0, I32_MAX),
            "0", [NO_EFFECT RELIED_ON], "Replicas that must be there for a write to be taken; 0 for none.";
        MinReplicasMaxLag "min-replicas-max-lag" | "min-slaves-max-lag": Int(0, I32_MAX), "10", [NO_EFFECT],
            "Seconds after which a silent replica no longer counts.";
        ReplDisklessSync "repl-diskless-sync": Bool, "yes", [NO_EFFECT],
            "Sends snapshots to replicas without a file.";
        ReplDisklessSyncDelay "repl-diskless-sync-delay": Int(0, I32_MAX), "5", [NO_EFFECT],
            "Seconds to wait for more replicas before that.";
        ReplDisklessSyncMaxReplicas "repl-diskless-sync-max-replicas": Int(0, I32_MAX), "0", [NO_EFFECT],
            "Replicas that end the wait; 0 for no number.";
        ReplDisklessLoad "repl-diskless-load":
            Choice(&["disabled", "on-empty-db", "swapdb", "flush-before-load"]),
            "disabled", [DENY_LOADING NO_EFFECT], "Whether a replica loads a snapshot without a file.";
        DualChannelReplication "dual-channel-replication-enabled": Bool, "no", [NO_EFFECT],
            "Sends snapshot and changes over two connections.";
        ReplPingReplicaPeriod "repl-ping-replica-period" | "repl-ping-slave-period":
            Int(1, I32_MAX),
            "10", [NO_EFFECT], "Seconds between pings to replicas.";
        ReplTimeout "repl-timeout": Int(1, I32_MAX), "60", [NO_EFFECT],
            "Seconds after which a silent link is given up.";
        ReplDisableTcpNodelay "repl-disable-tcp-nodelay": Bool, "no", [NO_EFFECT],
            "Fewer and later packets to replicas.";
        ReplBacklogSize "repl-backlog-size": Memory(1, SIZE_MAX), "10mb", [NO_EFFECT],
            "Changes kept for replicas that come back.";
        ReplBacklogTtl "repl-backlog-ttl": Int(0, I64_MAX), "3600", [NO_EFFECT],
            "Seconds without replicas after which they are dropped; 0 for never.";
        ReplMptcp "repl-mptcp": Bool, "no", [IMMUTABLE NO_EFFECT], "Multipath TCP towards the primary.";
        ImportMode "import-mode": Bool, "no", [NO_EFFECT],
            "Allows CLIENT IMPORT-SOURCE; keys that are due expire as ever, also those of such a client.";
    }
    "Users" {
        User "user": Statement(1, usize::MAX), "", [NO_EFFECT RELIED_ON],
            "A user and its rules, as ACL SETUSER takes them.";
        AclFile "aclfile": Text(Check::Any), "", [IMMUTABLE NO_EFFECT RELIED_ON],
            "File that holds the users, instead of user lines.";
        AclLogMaxLen "acllog-max-len": Int(0, I64_MAX), "128", [NO_EFFECT],
            "Refusals that ACL LOG remembers.";
        AclPubsubDefault "acl-pubsub-default":
            Choice(&["allchannels", "resetchannels"]),
            "resetchannels", [NO_EFFECT], "Channels a new user may use.";
        RequirePass "requirepass": Text(Check::Any), "", [SENSITIVE NULLABLE],
            "Password of the user default.";
    }
    "Clients" {
        MaxClients "maxclients": Int(1, U32_MAX), "10000", [], "Clients at one time.";
        MaxMemoryClients "maxmemory-clients": MemoryOrPercent, "0", [NO_EFFECT RELIED_ON],
            "Memory of all clients together, also as a percentage of maxmemory; 0 for no limit.";
        ClientOutputBufferLimit "client-output-buffer-limit":
            OutputLimits,
            "normal 0 0 0 replica 256mb 64mb 60 pubsub 32mb 8mb 60", [],
            "Unread replies that close a client: class, at once, after so many seconds above, seconds.";
        ClientQueryBufferLimit "client-query-buffer-limit": Memory(MB, SIZE_MAX), "1gb", [],
            "Unfinished request that closes a client.";
        ProtoMaxBulkLen "proto-max-bulk-len": Memory(MB, SIZE_MAX), "512mb", [],
            "Longest argument of a command.";
        TrackingTableMaxKeys "tracking-table-max-keys": Int(0, I64_MAX), "1000000", [],
            "Keys remembered for client-side caching; 0 for no limit.";
    }
    "Memory" {
        MaxMemory "maxmemory": Memory(0, u64::MAX), "0", [NO_EFFECT RELIED_ON],
            "Memory for data; 0 for no limit.";
        MaxMemoryPolicy "maxmemory-policy":
            Choice(&["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl", "allkeys-lru",
            "allkeys-lfu", "allkeys-random", "noeviction"]),
            "noeviction", [], "Which keys make room when it is full.";
        MaxMemorySamples "maxmemory-samples": Int(1, 64), "5", [NO_EFFECT],
            "Keys compared before one is evicted.";
        MaxMemoryEvictionTenacity "maxmemory-eviction-tenacity": Int(0, 100), "10", [NO_EFFECT],
            "How much time eviction may take: 0 little, 100 all it needs.";
        LfuLogFactor "lfu-log-factor": Int(0, I32_MAX), "10", [],
            "How many hits saturate a key's counter.";
        LfuDecayTime "lfu-decay-time": Int(0, I32_MAX), "1", [],
            "Minutes after which a counter drops by one; 0 for never.";
        ActiveExpireEffort "active-expire-effort": Int(1, 10), "1", [NO_EFFECT],
            "Due keys are found by their deadline, not by sampling.";
        LazyfreeLazyEviction "lazyfree-lazy-eviction": Bool, "yes", [NO_EFFECT],
            "Big values are always freed in the background.";
        LazyfreeLazyExpire "lazyfree-lazy-expire": Bool, "yes", [],
            "Propagates keys that expired as UNLINK instead of DEL; big values are always freed in the background.";
        LazyfreeLazyServerDel "lazyfree-lazy-server-del": Bool, "yes", [NO_EFFECT],
            "Big values are always freed in the background.";
        LazyfreeLazyUserDel "lazyfree-lazy-user-del": Bool, "yes", [NO_EFFECT],
            "Big values are always freed in the background.";
        LazyfreeLazyUserFlush "lazyfree-lazy-user-flush": Bool, "yes", [NO_EFFECT],
            "Big values are always freed in the background.";
        OomScoreAdj "oom-score-adj": Choice(&["no", "yes", "relative", "absolute"]), "no", [],
            "Tells the kernel which process to kill first.";
        OomScoreAdjValues "oom-score-adj-values": OomScores, "0 200 800", [],
            "Scores of a primary, a replica and a process that saves.";
        ActiveDefrag "activedefrag": Never(NO_DEFRAG), "no", [NO_EFFECT], "Memory is not defragmented.";
        ActiveDefragIgnoreBytes "active-defrag-ignore-bytes": Memory(1, SIZE_MAX), "100mb", [NO_EFFECT],
            "See activedefrag.";
        ActiveDefragThresholdLower "active-defrag-threshold-lower": Int(0, 1000), "10", [NO_EFFECT],
            "See activedefrag.";
        ActiveDefragThresholdUpper "active-defrag-threshold-upper": Int(0, 1000), "100", [NO_EFFECT],
            "See activedefrag.";
        ActiveDefragCycleMin "active-defrag-cycle-min": Int(1, 99), "1", [NO_EFFECT],
            "See activedefrag.";
        ActiveDefragCycleMax "active-defrag-cycle-max": Int(1, 99), "25", [NO_EFFECT],
            "See activedefrag.";
        ActiveDefragCycleUs "active-defrag-cycle-us": Int(0, 100_000), "500", [NO_EFFECT],
            "See activedefrag.";
        ActiveDefragMaxScanFields "active-defrag-max-scan-fields": Int(1, I64_MAX), "1000", [NO_EFFECT],
            "See activedefrag.";
    }
    "Append-only file" {
        AppendOnly "appendonly": Bool, "no", [DENY_LOADING NO_EFFECT RELIED_ON],
            "Logs every write to a file.";
        AppendFilename "appendfilename":
            Text(Check::FileName("appendfilename")),
            "\"appendonly.aof\"", [IMMUTABLE NO_EFFECT], "Name its files begin with.";
        AppendDirname "appenddirname":
            Text(Check::FileName("appenddirname")),
            "\"appendonlydir\"", [IMMUTABLE NO_EFFECT], "Directory of its files, inside dir.";
        AppendFsync "appendfsync": Choice(&["everysec", "always", "no"]), "everysec", [NO_EFFECT],
            "When writes are synced to disk.";
        NoAppendfsyncOnRewrite "no-appendfsync-on-rewrite": Bool, "no", [NO_EFFECT],
            "Does not sync while the file is rewritten.";
        AutoAofRewritePercentage "auto-aof-rewrite-percentage": Int(0, I32_MAX), "100", [NO_EFFECT],
            "Growth that starts a rewrite, in percent; 0 for never.";
        AutoAofRewriteMinSize "auto-aof-rewrite-min-size": Memory(0, SIZE_MAX), "64mb", [NO_EFFECT],
            "Size below which it does not.";
        AofLoadTruncated "aof-load-truncated": Bool, "yes", [NO_EFFECT],
            "Starts even if the file ends in the middle of a command.";
        AofUseRdbPreamble "aof-use-rdb-preamble": Bool, "yes", [NO_EFFECT],
            "Rewrites to a snapshot and the changes since.";
        AofTimestampEnabled "aof-timestamp-enabled": Bool, "no", [NO_EFFECT], "Writes times into the file.";
        AofRewriteIncrementalFsync "aof-rewrite-incremental-fsync": Bool, "yes", [NO_EFFECT],
            "Syncs to disk while rewriting.";
        AofDisableAutoGc "aof-disable-auto-gc": Bool, "no", [HIDDEN NO_EFFECT],
            "Keeps files that are no longer needed.";
    }
    "Shutting down" {
        ShutdownTimeout "shutdown-timeout": Int(0, I32_MAX), "10", [NO_EFFECT],
            "Seconds to wait for replicas that lag; there are none.";
        ShutdownOnSigint "shutdown-on-sigint": Bits(SHUTDOWN), "default", [], "What an interrupt does.";
        ShutdownOnSigterm "shutdown-on-sigterm": Bits(SHUTDOWN), "default", [], "What SIGTERM does.";
    }
    "Scripts" {
        BusyReplyThreshold "busy-reply-threshold" | "lua-time-limit": Int(0, I64_MAX), "5000", [],
            "Milliseconds after which others are told that a script runs; 0 for never.";
        LuaEnableInsecureApi "lua-enable-insecure-api": Bool, "no", [HIDDEN NO_EFFECT],
            "Scripts never get the functions a sandbox should not have.";
    }
    "Cluster" {
        ClusterEnabled "cluster-enabled": Bool, "no", [IMMUTABLE NO_EFFECT RELIED_ON],
            "Makes this server a node of a cluster.";
        ClusterConfigFile "cluster-config-file":
            Text(Check::Filled("cluster-config-file")), "nodes.conf", [IMMUTABLE NO_EFFECT],
            "File in which the node remembers the cluster.";
        ClusterConfigSaveBehavior "cluster-config-save-behavior":
            Choice(&["sync", "best-effort"]),
            "sync", [NO_EFFECT], "Whether failing to write it stops the node.";
        ClusterDatabases "cluster-databases": Int(1, I32_MAX), "1", [IMMUTABLE NO_EFFECT],
            "Number of databases in cluster mode.";
        ClusterPort "cluster-port": Int(0, 65535), "0", [IMMUTABLE NO_EFFECT],
            "Port of the bus; 0 for the client port plus 10000.";
        ClusterNodeTimeout "cluster-node-timeout": Int(0, I64_MAX), "15000", [NO_EFFECT],
            "Milliseconds after which a silent node has failed.";
        ClusterPingInterval "cluster-ping-interval": Int(0, I64_MAX), "0", [HIDDEN NO_EFFECT],
            "Milliseconds between pings; 0 for the usual ones.";
        ClusterReplicaValidityFactor "cluster-replica-validity-factor" | "cluster-slave-validity-factor":
            Int(0, I32_MAX),
            "10", [NO_EFFECT], "How old a replica's data may be for a failover.";
        ClusterMigrationBarrier "cluster-migration-barrier": Int(0, I32_MAX), "1", [NO_EFFECT],
            "Replicas a primary keeps before one may move.";
        ClusterAllowReplicaMigration "cluster-allow-replica-migration": Bool, "yes", [NO_EFFECT],
            "Whether replicas move to primaries without one.";
        ClusterRequireFullCoverage "cluster-require-full-coverage": Bool, "yes", [NO_EFFECT],
            "Refuses queries while a slot is served by nobody.";
        ClusterReplicaNoFailover "cluster-replica-no-failover" | "cluster-slave-no-failover":
            Bool,
            "no", [NO_EFFECT], "Never takes over by itself.";
        ClusterAllowReadsWhenDown "cluster-allow-reads-when-down": Bool, "no", [NO_EFFECT],
            "Answers reads while the cluster is down.";
        ClusterAllowPubsubshardWhenDown "cluster-allow-pubsubshard-when-down": Bool, "yes", [NO_EFFECT],
            "Serves sharded channels while the cluster is down.";
        ClusterLinkSendbufLimit "cluster-link-sendbuf-limit": Memory(0, u64::MAX), "0", [NO_EFFECT],
            "Unsent bytes that close a link between nodes; 0 for no limit.";
        ClusterManualFailoverTimeout "cluster-manual-failover-timeout": Int(1, I32_MAX), "5000", [NO_EFFECT],
            "Milliseconds a failover asked for may take.";
        ClusterBlacklistTtl "cluster-blacklist-ttl": Int(i64::MIN, I64_MAX), "60", [NO_EFFECT],
            "Seconds a forgotten node stays forgotten.";
        ClusterSlotStatsEnabled "cluster-slot-stats-enabled": Bool, "no", [NO_EFFECT],
            "Counts processor time and traffic by slot.";
        ClusterSlotMigrationLogMaxLen "cluster-slot-migration-log-max-len":
            Int(0, I64_MAX),
            "1000", [NO_EFFECT], "Slot migrations remembered.";
        SlotMigrationMaxFailoverReplBytes "slot-migration-max-failover-repl-bytes":
            MemoryOrOff,
            "0", [NO_EFFECT], "Bytes a slot migration may lag when it hands over; -1 for any.";
        ClusterPreferredEndpointType "cluster-preferred-endpoint-type":
            Choice(&["ip", "hostname", "unknown-endpoint"]),
            "ip", [NO_EFFECT], "What clients are sent to.";
        ClusterAnnounceIp "cluster-announce-ip": Text(Check::AnnouncedIp), "", [NULLABLE NO_EFFECT],
            "Address to tell other nodes.";
        ClusterAnnounceClientIpv4 "cluster-announce-client-ipv4": Text(Check::Ipv4), "", [NULLABLE NO_EFFECT],
            "IPv4 address to tell clients.";
        ClusterAnnounceClientIpv6 "cluster-announce-client-ipv6": Text(Check::Ipv6), "", [NULLABLE NO_EFFECT],
            "IPv6 address to tell clients.";
        ClusterAnnouncePort "cluster-announce-port": Int(0, 65535), "0", [NO_EFFECT],
            "Port to tell other nodes; 0 for the real one.";
        ClusterAnnounceTlsPort "cluster-announce-tls-port": Int(0, 65535), "0", [NO_EFFECT],
            "TLS port to tell other nodes; 0 for the real one.";
        ClusterAnnounceBusPort "cluster-announce-bus-port": Int(0, 65535), "0", [NO_EFFECT],
            "Bus port to tell other nodes; 0 for the real one.";
        ClusterAnnounceClientPort "cluster-announce-client-port": Int(0, 65535), "0", [NO_EFFECT],
            "Port to tell clients; 0 for the announced one.";
        ClusterAnnounceClientTlsPort "cluster-announce-client-tls-port": Int(0, 65535), "0", [NO_EFFECT],
            "TLS port to tell clients; 0 for the announced one.";
        ClusterAnnounceHostname "cluster-announce-hostname": Text(Check::Hostname), "", [NULLABLE NO_EFFECT],
            "Host name to tell clients.";
        ClusterAnnounceHumanNodename "cluster-announce-human-nodename":
            Text(Check::NodeName),
            "", [NULLABLE NO_EFFECT], "Name of the node in logs.";
    }
    "Slow log, latency, notifications" {
        SlowlogLogSlowerThan "slowlog-log-slower-than" | "commandlog-execution-slower-than":
            Int(-1, I64_MAX),
            "10000", [], "Microseconds that make a command slow; 0 logs all, -1 none.";
        SlowlogMaxLen "slowlog-max-len" | "commandlog-slow-execution-max-len": Int(0, I64_MAX), "128", [],
            "Slow commands remembered.";
        CommandlogRequestLargerThan "commandlog-request-larger-than": Int(-1, I64_MAX), "1048576", [],
            "Bytes that make a request large; -1 logs none.";
        CommandlogLargeRequestMaxLen "commandlog-large-request-max-len": Int(0, I64_MAX), "128", [],
            "Large requests remembered.";
        CommandlogReplyLargerThan "commandlog-reply-larger-than": Int(-1, I64_MAX), "1048576", [],
            "Bytes that make a reply large; -1 logs none.";
        CommandlogLargeReplyMaxLen "commandlog-large-reply-max-len": Int(0, I64_MAX), "128", [],
            "Large replies remembered.";
        LatencyMonitorThreshold "latency-monitor-threshold": Int(0, I64_MAX), "0", [],
            "Milliseconds that make an event worth remembering; 0 for none.";
        LatencyTracking "latency-tracking": Bool, "yes", [],
            "Keeps a histogram of each command's time.";
        LatencyTrackingInfoPercentiles "latency-tracking-info-percentiles": Percentiles, "50 99 99.9", [],
            "Percentiles that INFO latencystats shows.";
        NotifyKeyspaceEvents "notify-keyspace-events": Events, "\"\"", [],
            "Events that are published: K and E for where, letters of Ag$lshzxetdmn for which.";
    }
    "Compact forms of values" {
        HashMaxListpackEntries "hash-max-listpack-entries" | "hash-max-ziplist-entries":
            Int(0, I64_MAX),
            "512", [], "Fields of a compact hash.";
        HashMaxListpackValue "hash-max-listpack-value" | "hash-max-ziplist-value":
            Memory(0, SIZE_MAX),
            "64", [], "Longest field or value of a compact hash.";
        ListMaxListpackSize "list-max-listpack-size" | "list-max-ziplist-size":
            Int(I32_MIN, I32_MAX),
            "-2", [], "Elements of a list node, or its size: -1 is 4 KB, -2 8 KB, up to -5, 64 KB.";
        ListCompressDepth "list-compress-depth": Int(0, I32_MAX), "0", [NO_EFFECT],
            "Nodes of lists are never compressed.";
        SetMaxIntsetEntries "set-max-intset-entries": Int(0, I64_MAX), "512", [],
            "Members of a compact set of whole numbers.";
        SetMaxListpackEntries "set-max-listpack-entries": Int(0, I64_MAX), "128", [],
            "Members of a compact set.";
        SetMaxListpackValue "set-max-listpack-value": Int(0, I64_MAX), "64", [],
            "Longest member of a compact set.";
        ZsetMaxListpackEntries "zset-max-listpack-entries" | "zset-max-ziplist-entries":
            Int(0, I64_MAX),
            "128", [], "Members of a compact sorted set.";
        ZsetMaxListpackValue "zset-max-listpack-value" | "zset-max-ziplist-value":
            Memory(0, SIZE_MAX),
            "64", [], "Longest member of a compact sorted set.";
        HllSparseMaxBytes "hll-sparse-max-bytes": Memory(0, SIZE_MAX), "3000", [],
            "Size at which a HyperLogLog becomes dense.";
        StreamNodeMaxBytes "stream-node-max-bytes": Memory(0, SIZE_MAX), "4096", [],
            "Size of a stream node; 0 for no limit.";
        StreamNodeMaxEntries "stream-node-max-entries": Int(0, I64_MAX), "100", [],
            "Entries of a stream node; 0 for no limit.";
    }
    "Settings of the past" {
        ListMaxZiplistEntries "list-max-ziplist-entries": Retired, "", [], "Gone since 3.2.";
        ListMaxZiplistValue "list-max-ziplist-value": Retired, "", [], "Gone since 3.2.";
        LuaReplicateCommands "lua-replicate-commands": Retired, "", [], "Gone since 7.0.";
    }
}
