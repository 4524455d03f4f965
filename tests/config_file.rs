//! Configuration files, the command line, CONFIG GET, SET and REWRITE, as Valkey 9.1.2 has them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use ochre::config::{
    Asker, Build, Class, CommandLine, Directive as D, Disk, Extras, Files, Flags, Kind, LoadError, Loaded,
    SetError, Settings, Share, TABLE, example, get, load, parse, rewrite, set, write_file,
};
use proptest::prelude::*;

const BUILD: Build<'_> = Build { version: "9.1.2", commit: "00000000", id: "abc", allocator: "mimalloc" };

/// Files held in memory; every directory named here exists.
#[derive(Default)]
struct Shelf {
    files: BTreeMap<String, String>,
    stdin: String,
}

impl Shelf {
    fn with(files: &[(&str, &str)]) -> Shelf {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Shelf { files, ..Shelf::default() }
    }
}

impl Files for Shelf {
    fn read(&mut self, _base: &[u8], path: &[u8]) -> io::Result<Vec<u8>> {
        let found = self.files.get(std::str::from_utf8(path).unwrap());
        found.map(|text| text.clone().into_bytes()).ok_or(io::Error::from_raw_os_error(2))
    }

    fn read_stdin(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.stdin.clone().into_bytes())
    }

    fn matching(&mut self, _base: &[u8], pattern: &[u8]) -> Vec<Vec<u8>> {
        let prefix = std::str::from_utf8(pattern).unwrap().trim_end_matches('*').to_owned();
        let names = self.files.keys().filter(|name| name.starts_with(&prefix));
        names.map(|name| name.clone().into_bytes()).collect()
    }

    fn directory(&mut self, base: &[u8], path: &[u8]) -> io::Result<Vec<u8>> {
        match path {
            b"." if base.is_empty() => Ok(b"/start".to_vec()),
            b"." => Ok(base.to_vec()),
            _ if path.starts_with(b"/nosuch") => Err(io::Error::from_raw_os_error(2)),
            _ if path.starts_with(b"/") => Ok(path.to_vec()),
            _ => Ok([base, b"/", path].concat()),
        }
    }

    fn try_append(&mut self, _base: &[u8], path: &[u8]) -> io::Result<()> {
        if path.starts_with(b"/nosuch") { Err(io::Error::from_raw_os_error(2)) } else { Ok(()) }
    }
}

fn start(shelf: &mut Shelf, args: &[&str]) -> Result<Loaded, LoadError> {
    let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
    match parse(&args, BUILD) {
        CommandLine::Run(invocation) => load(&invocation, shelf),
        other => panic!("{args:?} should run, not {other:?}"),
    }
}

fn started(args: &[&str]) -> Settings {
    start(&mut Shelf::default(), args).unwrap_or_else(|e| panic!("{args:?}: {}", e.report("x"))).settings
}

fn read(text: &str) -> Settings {
    let mut shelf = Shelf::with(&[("f", text)]);
    start(&mut shelf, &["f"]).unwrap_or_else(|e| panic!("{}", e.report("x"))).settings
}

fn shown(settings: &Settings, directive: D) -> String {
    String::from_utf8(settings.show(directive)).unwrap()
}

/// Enough of a glob for these tests: one `*` at either end.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (pattern, name) = (pattern.to_ascii_lowercase(), name.to_ascii_lowercase());
    match (pattern.strip_prefix(b"*"), pattern.strip_suffix(b"*")) {
        (Some(b""), _) => true,
        (Some(end), _) => name.ends_with(end),
        (None, Some(front)) => name.starts_with(front),
        (None, None) => name == pattern,
    }
}

fn ask(settings: &Settings, patterns: &[&str]) -> Vec<String> {
    let patterns: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
    let found = get(settings, &patterns, &matches).into_iter();
    found.map(|(name, value)| String::from_utf8([name, value].join(&b'=')).unwrap()).collect()
}

const TRUSTED: Asker = Asker { is_local: true, is_loading: false };

fn try_set(settings: &Settings, pairs: &[(&str, &str)]) -> Result<(Settings, Vec<D>), String> {
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    let result = set(settings, &pairs, TRUSTED, &mut Shelf::default());
    result.map_err(|e| String::from_utf8(e.text()).unwrap())
}

// ---- Files

/// Every directive of a stock file of Redis 7, uncommented, and the two old spellings of each kind.
const STOCK: &str = r#"
bind 127.0.0.1 -::1
bind-source-addr 10.0.0.1
protected-mode yes
enable-protected-configs no
enable-debug-command no
enable-module-command no
port 6379
tcp-backlog 511
unixsocket /run/redis.sock
unixsocketperm 700
timeout 0
tcp-keepalive 300
socket-mark-id 0
tls-port 0
tls-cert-file redis.crt
tls-key-file redis.key
tls-key-file-pass secret
tls-client-cert-file client.crt
tls-client-key-file client.key
tls-client-key-file-pass secret
tls-dh-params-file redis.dh
tls-ca-cert-file ca.crt
tls-ca-cert-dir /etc/ssl/certs
tls-auth-clients optional
tls-replication yes
tls-cluster yes
tls-protocols "TLSv1.2 TLSv1.3"
tls-ciphers DEFAULT:!MEDIUM
tls-ciphersuites TLS_CHACHA20_POLY1305_SHA256
tls-prefer-server-ciphers yes
tls-session-caching no
tls-session-cache-size 5000
tls-session-cache-timeout 60
daemonize no
supervised auto
pidfile /var/run/redis_6379.pid
loglevel notice
logfile ""
syslog-enabled no
syslog-ident redis
syslog-facility local0
crash-log-enabled no
crash-memcheck-enabled no
databases 16
always-show-logo no
set-proc-title yes
proc-title-template "{title} {listen-addr} {server-mode}"
locale-collate ""
save 3600 1
save 300 100
save 60 10000
stop-writes-on-bgsave-error yes
rdbcompression yes
rdbchecksum yes
sanitize-dump-payload no
dbfilename dump.rdb
rdb-del-sync-files no
dir ./
masterauth pass
masteruser name
replica-serve-stale-data yes
replica-read-only yes
repl-diskless-sync yes
repl-diskless-sync-delay 5
repl-diskless-sync-max-replicas 0
repl-diskless-load disabled
repl-ping-replica-period 10
repl-timeout 60
repl-disable-tcp-nodelay no
repl-backlog-size 1mb
repl-backlog-ttl 3600
replica-priority 100
propagation-error-behavior ignore
replica-ignore-disk-write-errors no
replica-announced yes
min-replicas-to-write 3
min-replicas-max-lag 10
replica-announce-ip 5.5.5.5
replica-announce-port 1234
tracking-table-max-keys 1000000
user worker +@list +@connection ~jobs:* on >ffa9203c493aa99
acllog-max-len 128
aclfile ""
requirepass foobared
acl-pubsub-default resetchannels
rename-command CONFIG ""
maxclients 10000
maxmemory 100mb
maxmemory-policy noeviction
maxmemory-samples 5
maxmemory-eviction-tenacity 10
replica-ignore-maxmemory yes
active-expire-effort 1
lazyfree-lazy-eviction no
lazyfree-lazy-expire no
lazyfree-lazy-server-del no
replica-lazy-flush no
lazyfree-lazy-user-del no
lazyfree-lazy-user-flush no
io-threads 4
io-threads-do-reads no
oom-score-adj no
oom-score-adj-values 0 200 800
disable-thp yes
appendonly no
appendfilename "appendonly.aof"
appenddirname "appendonlydir"
appendfsync everysec
no-appendfsync-on-rewrite no
auto-aof-rewrite-percentage 100
auto-aof-rewrite-min-size 64mb
aof-load-truncated yes
aof-use-rdb-preamble yes
aof-timestamp-enabled no
shutdown-timeout 10
shutdown-on-sigint default
shutdown-on-sigterm default
lua-time-limit 5000
busy-reply-threshold 5000
cluster-enabled no
cluster-config-file nodes-6379.conf
cluster-node-timeout 15000
cluster-port 0
cluster-replica-validity-factor 10
cluster-migration-barrier 1
cluster-allow-replica-migration yes
cluster-require-full-coverage yes
cluster-replica-no-failover no
cluster-allow-reads-when-down no
cluster-allow-pubsubshard-when-down yes
cluster-link-sendbuf-limit 0
cluster-announce-hostname ""
cluster-announce-human-nodename ""
cluster-preferred-endpoint-type ip
cluster-announce-ip 10.1.1.5
cluster-announce-tls-port 6379
cluster-announce-port 0
cluster-announce-bus-port 6380
slowlog-log-slower-than 10000
slowlog-max-len 128
latency-monitor-threshold 0
latency-tracking yes
latency-tracking-info-percentiles 50 99 99.9
notify-keyspace-events ""
hash-max-listpack-entries 512
hash-max-listpack-value 64
list-max-listpack-size -2
list-compress-depth 0
set-max-intset-entries 512
set-max-listpack-entries 128
set-max-listpack-value 64
zset-max-listpack-entries 128
zset-max-listpack-value 64
hll-sparse-max-bytes 3000
stream-node-max-bytes 4096
stream-node-max-entries 100
activerehashing yes
client-output-buffer-limit normal 0 0 0
client-output-buffer-limit replica 256mb 64mb 60
client-output-buffer-limit pubsub 32mb 8mb 60
client-query-buffer-limit 1gb
maxmemory-clients 5%
proto-max-bulk-len 512mb
hz 10
dynamic-hz yes
aof-rewrite-incremental-fsync yes
rdb-save-incremental-fsync yes
lfu-log-factor 10
lfu-decay-time 1
max-new-connections-per-cycle 10
max-new-tls-connections-per-cycle 1
activedefrag yes
active-defrag-ignore-bytes 100mb
active-defrag-threshold-lower 10
active-defrag-threshold-upper 100
active-defrag-cycle-min 1
active-defrag-cycle-max 25
active-defrag-max-scan-fields 1000
jemalloc-bg-thread yes
server_cpulist 0-7:2
bio_cpulist 1,3
aof_rewrite_cpulist 8-11
bgsave_cpulist 1,10-11
ignore-warnings ARM64-COW-BUG
hide-user-data-from-log yes
list-max-ziplist-entries 512
lua-replicate-commands yes
"#;

#[test]
fn a_stock_file_of_redis_loads_and_what_has_no_effect_is_noted_once() {
    let mut shelf = Shelf::with(&[("f", &format!("{STOCK}\nactivedefrag yes\n"))]);
    let loaded = start(&mut shelf, &["f"]).unwrap();
    assert_eq!(loaded.config_file.as_deref(), Some(b"/start/f".as_slice()));
    assert_eq!(shown(&loaded.settings, D::Save), "3600 1 300 100 60 10000");
    assert_eq!(shown(&loaded.settings, D::UnixSocketPerm), "700");
    assert_eq!(loaded.settings.clients_memory(), Share::Percent(5));
    assert!(!loaded.settings.bool(D::ActiveDefrag));
    assert_eq!(loaded.users[0].words[0], b"worker");
    assert_eq!(loaded.renames[0].words, [b"CONFIG".to_vec(), Vec::new()]);
    let ignored =
        ["'activedefrag'", "'server-cpulist'", "'lazyfree-lazy-eviction'", "'list-max-ziplist-entries'"];
    for name in ignored {
        let about = loaded.notes.iter().filter(|note| note.text.contains(name)).count();
        assert_eq!(about, 1, "{name} in {:?}", loaded.notes);
    }
    assert!(!loaded.notes.iter().any(|it| it.text.contains("'hz'") || it.text.contains("'dynamic-hz'")));
}

#[test]
fn lines_that_test_suites_and_harnesses_write_load() {
    let text =
        "always-show-logo yes\nnotify-keyspace-events KEA\ndaemonize no\npidfile /var/run/x.pid\nport 21111
        timeout 0\nbind 127.0.0.1\nloglevel verbose\nlogfile ''\ndatabases 16\nlatency-monitor-threshold 1
        repl-diskless-sync-delay 0\nsave ''\nrdbcompression yes\ndbfilename dump.rdb\ndir ./tests/tmp
        slave-serve-stale-data yes\nappendonly no\nappendfsync everysec\nno-appendfsync-on-rewrite no
        activerehashing yes\nenable-protected-configs yes\nenable-debug-command yes
        enable-module-command yes\npropagation-error-behavior panic\nshutdown-on-sigterm force
        enable-debug-assert yes\nhide-user-data-from-log no\nunixsocket /tmp/x/socket
        aof-disable-auto-gc yes\ncluster-ping-interval 100\nkey-load-delay -500
        loading-process-events-interval-bytes 1024\nrdb-key-save-delay 10\nuse-exit-on-panic yes
        watchdog-period 0\nacl-pubsub-default allchannels\naclfile users.acl\nuser alice on nopass ~* +@all
        appendfilename \"a.aof\"\nappenddirname 'd'\naof-use-rdb-preamble no\nauto-aof-rewrite-percentage 0
        auto-aof-rewrite-min-size 1\naof-load-truncated no\naof-timestamp-enabled yes
        cluster-enabled no\ncluster-node-timeout 3000\ncluster-port 0\ncluster-allow-replica-migration no
        cluster-migration-barrier 1\ncluster-replica-no-failover yes\ncluster-slot-stats-enabled yes
        crash-memcheck-enabled no\nhash-max-ziplist-entries 0\nhash-max-ziplist-value 8
        list-max-ziplist-size 16\nset-max-intset-entries 5\nset-max-listpack-entries 0
        set-max-listpack-value 32\nzset-max-ziplist-entries 0\nzset-max-ziplist-value 0
        stream-node-max-entries 10\nlua-time-limit 100\nmaxclients 500\nmaxmemory 10mb
        maxmemory-policy allkeys-lru\nmaxmemory-clients 5%\nmin-slaves-to-write 0\nmin-slaves-max-lag 10
        protected-mode no\nrename-command GETEX \"\"\nrepl-backlog-size 1mb\nrepl-diskless-sync yes
        replica-read-only yes\nreplicaof no one\nrequirepass foobar\nsanitize-dump-payload no
        slowlog-log-slower-than 1\ndual-channel-replication-enabled yes\nio-threads 2
        events-per-io-thread 0\nunixsocketgroup root\nunixsocketperm 700\ntls-cluster no\nseed 7
        dev-commands yes\ninclude /etc/none*.conf";
    let settings = read(text);
    assert_eq!(shown(&settings, D::NotifyKeyspaceEvents), "AKE");
    assert_eq!(shown(&settings, D::Dir), "/start/./tests/tmp");
    assert_eq!(settings.save_points(), []);
    assert!(settings.includes(D::ShutdownOnSigterm, "force"));
    assert!(!settings.includes(D::ShutdownOnSigterm, "save"));
    assert_eq!(settings.seed(), Some(7));
    assert_eq!(settings.choice(D::DevCommands), "yes");
    assert_eq!(settings.int(D::BusyReplyThreshold), 100);
    assert_eq!(settings.bind().collect::<Vec<_>>(), [b"127.0.0.1"]);
}

#[test]
fn later_lines_win_also_between_a_name_and_its_alias_but_saves_add_up() {
    let settings = read("replica-priority 5\nSLAVE-priority 7\nsave 900 1\nsave 300 10");
    assert_eq!(settings.int(D::ReplicaPriority), 7);
    assert_eq!(shown(&settings, D::Save), "900 1 300 10");
    assert_eq!(shown(&read("save 900 1\nsave ''\nsave 5 6"), D::Save), "5 6");
    assert_eq!(shown(&read("save ''"), D::Save), "");
    assert_eq!(shown(&read("save \"1 2 3 4\""), D::Save), "1 2 3 4");
    let limits = read("client-output-buffer-limit slave 1mb 1kb 5\nclient-output-buffer-limit normal 1 2 3");
    let replica = limits.output_limit(Class::Replica);
    assert_eq!((replica.hard_bytes, replica.soft_bytes, replica.soft_seconds), (1 << 20, 1 << 10, 5));
    assert_eq!(
        shown(&limits, D::ClientOutputBufferLimit),
        "normal 1 2 3 slave 1048576 1024 5 pubsub 33554432 8388608 60"
    );
}

#[test]
fn includes_are_read_in_place_and_end_at_a_limit() {
    let mut shelf = Shelf::with(&[
        ("f", "timeout 1\ninclude d/*\ninclude none*\nhz 20"),
        ("d/1", "timeout 2\nhz 30"),
        ("d/2", "timeout 3"),
        ("loop", "include loop"),
        ("bad", "\n\n  timeout z"),
        ("outer", "include bad"),
    ]);
    let settings = start(&mut shelf, &["f"]).unwrap().settings;
    assert_eq!((settings.int(D::Timeout), settings.int(D::Hz)), (3, 20));
    let error = start(&mut shelf, &["loop"]).unwrap_err().report("x");
    assert!(error.contains("Too many files included"), "{error}");
    let error = start(&mut shelf, &["outer"]).unwrap_err().report("x");
    assert!(error.contains("at line 3\n>>> 'timeout z'\n"), "{error}");
    let error = start(&mut shelf, &["nosuch.conf"]).unwrap_err().report("x");
    assert_eq!(
        error,
        "Fatal error, can't open config file '/start/nosuch.conf': No such file or directory\n"
    );
}

// ---- The command line

#[test]
fn options_override_the_file_and_take_what_follows_as_values() {
    let mut shelf = Shelf::with(&[("f", "timeout 1\nport 1\n")]);
    shelf.stdin = "timeout 5\nhz 3".to_owned();
    let settings = start(&mut shelf, &["f", "--port", "7", "-"]).unwrap().settings;
    assert_eq!((settings.int(D::Port), settings.int(D::Timeout), settings.int(D::Hz)), (7, 5, 3));
    assert_eq!(start(&mut shelf, &["-", "--hz", "4"]).unwrap().settings.int(D::Hz), 4);

    let check = |args: &[&str], directive, expected: &str| {
        assert_eq!(shown(&started(args), directive), expected, "{args:?}")
    };
    check(&[], D::Port, "6379");
    check(&["--requirepass", "--x", "--port", "5"], D::RequirePass, "--x");
    check(&["--requirepass", "--x", "--port", "5"], D::Port, "5");
    check(&["--requirepass", "a\"b c"], D::RequirePass, "a\"b c");
    check(&["--port 5", "--timeout 6"], D::Timeout, "6");
    check(&["--save", "900", "1", "--save", "300", "10"], D::Save, "900 1 300 10");
    check(&["--save", "900 1"], D::Save, "900 1");
    check(&["--save", ""], D::Save, "");
    check(&["--save", "--port", "5"], D::Port, "5");
    check(&["--port", "5", "--save"], D::Save, "");
    check(&["--bind", "127.0.0.1 -::1"], D::Bind, "127.0.0.1 -::1");
    check(&["--replicaof", "127.0.0.1", "8888"], D::ReplicaOf, "127.0.0.1 8888");
    check(&["--replicaof", "127.0.0.1 8888"], D::ReplicaOf, "127.0.0.1 8888");
    check(&["--seed", "42"], D::Seed, "42");
    check(&["--list-max-listpack-size", "-1"], D::ListMaxListpackSize, "-1");
}

#[test]
fn version_and_help_are_printed() {
    let parsed = |arg: &str| parse(&[arg.as_bytes().to_vec()], BUILD);
    let bits = usize::BITS;
    let expected = format!("Ochre server v=9.1.2 sha=00000000:0 malloc=mimalloc bits={bits} build=abc\n");
    assert_eq!(parsed("-v"), CommandLine::Print(expected.clone()));
    assert_eq!(parsed("--version"), CommandLine::Print(expected));
    let CommandLine::Print(help) = parsed("--help") else { panic!("no help") };
    for part in ["Usage: ochre-server [CONFIG_FILE]", "--seed <NUMBER>", "-v, --version", "--maxmemory 1gb"] {
        assert!(help.contains(part), "{part} in {help}");
    }
    assert!(matches!(parsed("--test-memory"), CommandLine::Refuse(_)));
}

/// Reports as Valkey 9.1.2 prints them: arguments, line, the line's echo, reason.
fn check(args: &[&str], line: usize, echo: &str, reason: &str) {
    let expected = format!(
        "\n*** FATAL CONFIG FILE ERROR (Version 9.1.2) ***\n\
         Reading the configuration file, at line {line}\n>>> '{echo}'\n{reason}\n"
    );
    let error = start(&mut Shelf::default(), args).map(|_| ()).unwrap_err();
    assert_eq!(error.report("9.1.2"), expected, "{args:?}");
}

#[test]
fn wrong_options_are_reported_as_valkey_does() {
    const ONE_OF_LEVELS: &str =
        "argument(s) must be one of the following: debug, verbose, notice, warning, nothing";
    check(&["--port"], 2, "port", "wrong number of arguments");
    check(&["--port", "6379", "6380"], 2, r#"port "6379" "6380""#, "wrong number of arguments");
    check(&["--port", "abc"], 2, r#"port "abc""#, "argument couldn't be parsed into an integer");
    check(&["--port 0", "--timeout x"], 3, "timeout x", "argument couldn't be parsed into an integer");
    let bounds = "argument must be between 0 and 2147483647 inclusive";
    check(&["--port", "0", "--timeout", "-1"], 3, r#"timeout "-1""#, bounds);
    check(&["--maxmemory", "1xx"], 2, r#"maxmemory "1xx""#, "argument must be a memory value");
    check(&["--appendonly", "maybe"], 2, r#"appendonly "maybe""#, "argument must be 'yes' or 'no'");
    check(&["--loglevel", "foo"], 2, r#"loglevel "foo""#, ONE_OF_LEVELS);
    check(&["--foo", "bar"], 2, r#"foo "bar""#, "Bad directive or wrong number of arguments");
    check(&["--", "bar"], 2, r#""bar""#, "Bad directive or wrong number of arguments");
    check(
        &["--rename-command", "X"],
        2,
        r#"rename-command "X""#,
        "Bad directive or wrong number of arguments",
    );
    check(&["--user"], 2, "user", "Bad directive or wrong number of arguments");
    check(&["--replicaof", "a"], 2, r#"replicaof "a""#, "wrong number of arguments");
    check(&["--replicaof", "a", "99999"], 2, r#"replicaof "a" "99999""#, "Invalid primary port");
    check(&["--save", "1"], 2, r#"save "1""#, "Invalid save parameters");
    check(&["--save", "1 2 3"], 2, r#"save "1 2 3""#, "Invalid save parameters");
    check(&["--save", "0", "2"], 2, r#"save "0" "2""#, "Invalid save parameters");
    let octal = "argument couldn't be parsed as an octal number";
    check(&["--unixsocketperm", "999"], 2, r#"unixsocketperm "999""#, octal);
    let class = "Invalid client class specified in buffer limit configuration.";
    let echo = r#"client-output-buffer-limit "foo" "1" "1" "1""#;
    check(&["--client-output-buffer-limit", "foo", "1", "1", "1"], 2, echo, class);
    let letters = "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";
    check(&["--notify-keyspace-events", "foo"], 2, r#"notify-keyspace-events "foo""#, letters);
    check(
        &["--oom-score-adj-values", "1 2"],
        2,
        r#"oom-score-adj-values "1 2""#,
        "wrong number of arguments",
    );
    let scores = "Invalid oom-score-adj-values, elements must be between -2000 and 2000.";
    check(&["--oom-score-adj-values", "1 2 3000"], 2, r#"oom-score-adj-values "1 2 3000""#, scores);
    let both = "shutdown options SAVE and NOSAVE can't be used simultaneously";
    check(&["--shutdown-on-sigterm", "save", "nosave"], 2, r#"shutdown-on-sigterm "save" "nosave""#, both);
    check(&["--dir", "/nosuch"], 2, r#"dir "/nosuch""#, "No such file or directory");
    check(&["--dbfilename", "a/b"], 2, r#"dbfilename "a/b""#, "dbfilename can't be a path, just a filename");
    check(&["--appenddirname", ""], 2, r#"appenddirname """#, "appenddirname can't be empty");
    check(&["--a.b"], 2, "a.b", "Module config specified without value");
    let sentinel = "sentinel directive while not in sentinel mode";
    check(&["--sentinel", "x"], 2, r#"sentinel "x""#, sentinel);
    let many: Vec<&str> = std::iter::once("--bind").chain(std::iter::repeat_n("a", 17)).collect();
    let echo = format!("bind{}", r#" "a""#.repeat(17));
    check(&many, 2, &echo, "Too many bind addresses specified.");
}

#[test]
fn what_no_single_option_is_to_blame_for_is_reported_as_well() {
    let mut shelf = Shelf::with(&[("f", "port 0\nsave 900 1\nfoo \"unbalanced\n")]);
    let error = start(&mut shelf, &["f"]).map(|_| ()).unwrap_err().report("9.1.2");
    assert!(error.ends_with("at line 3\n>>> 'foo \"unbalanced'\nUnbalanced quotes in configuration line\n"));
    let whole = |args: &[&str]| start(&mut Shelf::default(), args).map(|_| ()).unwrap_err().report("9.1.2");
    let head = "\n*** FATAL CONFIG FILE ERROR (Version 9.1.2) ***\n";
    let log = whole(&["--logfile", "/nosuch/x"]);
    assert_eq!(log, format!("{head}Can't open the log file: No such file or directory\n"));
    let cluster = whole(&["--cluster-enabled", "yes", "--replicaof", "a", "5"]);
    assert_eq!(cluster, format!("{head}replicaof directive not allowed in cluster mode\n"));
}

// ---- CONFIG GET and SET

#[test]
fn defaults_are_valkeys() {
    let settings = Settings::default();
    for (directive, expected) in [
        (D::Save, "3600 1 300 100 60 10000"),
        (D::Bind, "* -::*"),
        (D::ReplBacklogSize, "10485760"),
        (D::ClientOutputBufferLimit, "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"),
        (D::LatencyTrackingInfoPercentiles, "50 99 99.9"),
        (D::LazyfreeLazyExpire, "yes"),
        (D::OomScoreAdjValues, "0 200 800"),
        (D::ProcTitleTemplate, "{title} {listen-addr} {server-mode}"),
        (D::ReplicaOf, ""),
        (D::Timeout, "0"),
    ] {
        assert_eq!(shown(&settings, directive), expected);
    }
}

#[test]
fn get_answers_patterns_without_hidden_names_and_exact_names_as_asked() {
    let settings = Settings::default();
    let check =
        |patterns: &[&str], expected: &[&str]| assert_eq!(ask(&settings, patterns), expected, "{patterns:?}");
    check(&["MAXMEMORY", "maxmemory"], &["MAXMEMORY=0"]);
    check(&["MAXMEMORY-S*"], &["maxmemory-samples=5"]);
    check(&["slave-priority", "replica-priority"], &["slave-priority=100", "replica-priority=100"]);
    check(&["slave-priority", "*-priority"], &["slave-priority=100", "replica-priority=100"]);
    check(&["watchdog-period", "WATCHDOG-PERIOD", "x"], &["watchdog-period=0"]);
    check(&["watchdog-per*", "dynamic-h*", "see*"], &[]);
    check(&["dynamic-hz", "include", "user", "list-max-ziplist-value", ""], &["dynamic-hz=yes"]);
    let all = ask(&settings, &["*"]);
    assert_eq!(all.len(), 237, "as many as Valkey 9.1.2 has");
}

#[test]
fn the_number_of_threads_in_use_is_what_get_answers_and_the_only_one_set_takes() {
    let mut settings = Settings::default();
    settings.set_threads_in_use(12);
    assert_eq!(ask(&settings, &["io-threads"]), ["io-threads=12"]);
    assert_eq!(settings.int(D::IoThreads), 0);
    let (same, changed) = try_set(&settings, &[("io-threads", "12")]).unwrap();
    assert_eq!((same.int(D::IoThreads), changed.len()), (0, 0));
    let error = try_set(&settings, &[("io-threads", "1")]).unwrap_err();
    assert!(error.contains("'io-threads') - the number of worker threads is fixed"), "{error}");
    let error = try_set(&settings, &[("io-threads", "257")]).unwrap_err();
    assert!(error.ends_with("argument must be between 0 and 256 inclusive"), "{error}");
}

/// Name, value, what Valkey 9.1.2 answered to CONFIG SET, what it then answered to CONFIG GET. A backslash at
/// the end joins two lines.
const RECORDED: &str = r#"maxmemory||OK|0
maxmemory|gb|OK|0
maxmemory|99999999999999999999|argument must be a memory value|0
maxmemory|10MB|OK|10485760
maxmemory|1k|OK|1000
maxmemory|+5|argument must be a memory value|1000
maxmemory| 5|argument must be a memory value|1000
maxmemory|1.5gb|argument must be a memory value|1000
maxmemory|1t|argument must be a memory value|1000
maxmemory|1tb|argument must be a memory value|1000
maxmemory|18446744073709551615|OK|18446744073709551615
hash-max-listpack-value|18446744073709551615|argument must be between 0 and 9223372036854775807 \
inclusive|64
hash-max-listpack-value|1kb|OK|1024
slot-migration-max-failover-repl-bytes|-1|OK|-1
slot-migration-max-failover-repl-bytes|10mb|OK|10485760
slot-migration-max-failover-repl-bytes|-5|argument must be between -1 and 9223372036854775807 \
inclusive|10485760
hz|0|OK|1
hz|1000|OK|500
maxmemory-clients|5%|OK|5%
maxmemory-clients|1gb|OK|1073741824
maxmemory-clients|0%|OK|0
maxmemory-clients|-5|argument must be a memory or percent value|0
maxmemory-clients|%|argument must be a memory or percent value|0
notify-keyspace-events|KEA|OK|AKE
notify-keyspace-events|Ex|OK|xE
notify-keyspace-events|AKE$m|OK|AKEm
notify-keyspace-events|g$lshzxetdKEmn|OK|AKEm
notify-keyspace-events|g$lshzxetd|OK|A
notify-keyspace-events|Kn|OK|nK
notify-keyspace-events|m|OK|m
notify-keyspace-events|Ar|Invalid event class character. Use 'Ag$lshzxeKEtmdn'.|m
notify-keyspace-events|S|Invalid event class character. Use 'Ag$lshzxeKEtmdn'.|m
notify-keyspace-events|c|Invalid event class character. Use 'Ag$lshzxeKEtmdn'.|m
notify-keyspace-events|T|Invalid event class character. Use 'Ag$lshzxeKEtmdn'.|m
notify-keyspace-events|o|Invalid event class character. Use 'Ag$lshzxeKEtmdn'.|m
notify-keyspace-events|@|Invalid event class character. Use 'Ag$lshzxeKEtmdn'.|m
shutdown-on-sigint|save now|OK|save now
shutdown-on-sigint|NOSAVE force now|OK|nosave now force
shutdown-on-sigint|default save|OK|save
shutdown-on-sigint|failover safe save force now|OK|save now force safe failover
shutdown-on-sigint|save nosave|shutdown options SAVE and NOSAVE can't be used simultaneously|save \
now force safe failover
shutdown-on-sigint|default|OK|default
shutdown-on-sigint||argument(s) must be one of the following: default, save, nosave, now, force, \
safe, failover|default
save|900 1|OK|900 1
save|900  1|Invalid save parameters|900 1
save| 900 1|Invalid save parameters|900 1
save|900 1 10 0|OK|900 1 10 0
save|0 1|Invalid save parameters|900 1 10 0
save|+900 1|OK|900 1
save|99999999999999999999 1|OK|9223372036854775807 1
save||OK|
save|""|Invalid save parameters|
latency-tracking-info-percentiles|50 99.90 100 0 0.0001 33.3333333333|OK|50 99.9 100 0 0.0001 \
33.333333
latency-tracking-info-percentiles|1e1|OK|10
latency-tracking-info-percentiles|-0|OK|-0
latency-tracking-info-percentiles|nan|Invalid latency-tracking-info-percentiles parameters|-0
latency-tracking-info-percentiles|0.0000001|OK|0
latency-tracking-info-percentiles||OK|
oom-score-adj-values|0 -1 +5|OK|0 -1 5
oom-score-adj-values|0 200 800|OK|0 200 800
oom-score-adj|yes|OK|yes
oom-score-adj|relative|OK|yes
oom-score-adj|absolute|OK|absolute
oom-score-adj|no|OK|no
client-output-buffer-limit|replica 1mb 1kb 5|OK|normal 0 0 0 slave 1048576 1024 5 pubsub 33554432 \
8388608 60
client-output-buffer-limit|SLAVE 1mb 1kb 5 pubsub 1 1 1 normal 1 1 1|OK|normal 1 1 1 slave \
1048576 1024 5 pubsub 1 1 1
client-output-buffer-limit|master 1 1 1|Invalid client class specified in buffer limit \
configuration.|normal 1 1 1 slave 1048576 1024 5 pubsub 1 1 1
client-output-buffer-limit|primary 1 1 1|Invalid client class specified in buffer limit \
configuration.|normal 1 1 1 slave 1048576 1024 5 pubsub 1 1 1
client-output-buffer-limit|normal x 1 1|Error in hard, soft or soft_seconds setting in buffer \
limit configuration.|normal 1 1 1 slave 1048576 1024 5 pubsub 1 1 1
client-output-buffer-limit|normal 1 1 -1|Error in hard, soft or soft_seconds setting in buffer \
limit configuration.|normal 1 1 1 slave 1048576 1024 5 pubsub 1 1 1
client-output-buffer-limit||OK|normal 1 1 1 slave 1048576 1024 5 pubsub 1 1 1
client-output-buffer-limit|normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 \
60|OK|normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60
loglevel|VERBOSE|OK|verbose
loglevel|nothing|OK|nothing
loglevel|notice|OK|notice
appendonly|YES|OK|yes
appendonly|no|OK|no
activedefrag|yes|Active defragmentation cannot be enabled: it requires a server compiled with a \
modified Jemalloc like the one shipped by default with the source distribution|no
proc-title-template|{bad}|template format is invalid or contains unknown variables|{title} \
{listen-addr} {server-mode}
proc-title-template|{title} x{port}{tls-port}{unixsocket}{config-file}{listen-addr}{server-mode}|OK\
|{title} x{port}{tls-port}{unixsocket}{config-file}{listen-addr}{server-mode}
proc-title-template|{title|template format is invalid or contains unknown variables|{title} \
x{port}{tls-port}{unixsocket}{config-file}{listen-addr}{server-mode}
proc-title-template|plain|OK|plain
proc-title-template||template format is invalid or contains unknown variables|plain
proc-title-template|{title} {listen-addr} {server-mode}|OK|{title} {listen-addr} {server-mode}
dbfilename|a/b|dbfilename can't be a path, just a filename|dump.rdb
dbfilename||dbfilename can't be empty|dump.rdb
locale-collate|C|OK|C
locale-collate|POSIX|OK|POSIX
locale-collate||OK|
locale-collate|en_US.UTF-8|Invalid locale name|
timeout| 5|argument couldn't be parsed into an integer|0
timeout|05|argument couldn't be parsed into an integer|0
timeout|+5|argument couldn't be parsed into an integer|0
timeout|5 5|argument couldn't be parsed into an integer|0
timeout||argument couldn't be parsed into an integer|0
cluster-announce-hostname|aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa|Hostnames \
must be less than 256 characters|
cluster-announce-hostname|a b|Hostnames may only contain alphanumeric characters, hyphens or dots|
cluster-announce-human-nodename|a b|Announced human node name contained invalid character|
cluster-announce-ip|a b|cluster-announce-ip contains invalid character|
cluster-announce-ip|::1|OK|::1
cluster-announce-client-ipv4|1.2.3.4|OK|1.2.3.4
cluster-announce-client-ipv4||OK|
cluster-announce-client-ipv6|::1|OK|::1
cluster-announce-client-ipv6||OK|
debug-context|x y|OK|x y
availability-zone|a b|OK|a b
maxmemory-policy|ALLKEYS-LRU|OK|allkeys-lru
maxmemory-policy|noeviction|OK|noeviction
hash-seed|x|can't set immutable config|
cluster-blacklist-ttl|-1|OK|-1
cluster-blacklist-ttl|9223372036854775807|OK|9223372036854775807
cluster-link-sendbuf-limit|-1|argument must be a memory value|0
repl-diskless-load|swapdb|OK|swapdb
tls-auth-clients-user|cn|OK|CN
tls-auth-clients-user|OFF|OK|off
proc-title-template|{{x|OK|{{x
proc-title-template|}|OK|}
proc-title-template|{}|template format is invalid or contains unknown variables|}
proc-title-template| |template format is invalid or contains unknown variables|}
proc-title-template|{unixsocket}|template format is invalid or contains unknown variables|}
proc-title-template|{title}}|OK|{title}}
cluster-announce-ip|aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa|cluster-announce-ip is too \
long|::1
cluster-announce-client-ipv4|1.2.3|Invalid IPv4 address|
unixsocketperm|5|can't set immutable config|0
maxmemory-clients|101%|percentage argument must be less or equal to 100|0
cluster-databases|5|can't set immutable config|1
oom-score-adj-values|1 2|wrong number of arguments|0 200 800
oom-score-adj-values|1 2 3000|Invalid oom-score-adj-values, elements must be between -2000 and \
2000.|0 200 800
oom-score-adj-values|1 2 x|Invalid oom-score-adj-values, elements must be between -2000 and \
2000.|0 200 800
latency-tracking-info-percentiles|101|latency-tracking-info-percentiles parameters should sit \
between [0.0,100.0]|
latency-tracking-info-percentiles|-1|latency-tracking-info-percentiles parameters should sit \
between [0.0,100.0]|"#;

#[test]
fn values_are_taken_and_shown_as_valkey_does() {
    let mut settings = read("enable-protected-configs yes\nsave ''");
    for line in RECORDED.replace("\\\n", "").lines() {
        let [name, value, reason, after] = line.split('|').collect::<Vec<_>>()[..] else { panic!("{line}") };
        match try_set(&settings, &[(name, value)]) {
            Ok((new, _)) => {
                assert_eq!(reason, "OK", "{line}");
                settings = new;
            }
            Err(error) => {
                let front = format!("CONFIG SET failed (possibly related to argument '{name}') - ");
                assert_eq!(error, front + reason, "{line}");
            }
        }
        assert_eq!(ask(&settings, &[name]), [format!("{name}={after}")], "{line}");
    }
}

#[test]
fn set_is_all_or_nothing_and_says_what_is_wrong_first() {
    let settings = read("enable-protected-configs yes");
    let check = |pairs: &[(&str, &str)], expected: &str| {
        assert_eq!(try_set(&settings, pairs).map(|_| ()).unwrap_err(), expected);
    };
    let failed =
        |name: &str, why: &str| format!("CONFIG SET failed (possibly related to argument '{name}') - {why}");
    let unknown = |name: &str| format!("Unknown option or number of arguments for CONFIG SET - '{name}'");
    check(&[("timeout", "5"), ("maxmemory", "x")], &failed("maxmemory", "argument must be a memory value"));
    check(&[("timeout", "5"), ("TIMEOUT", "6")], &failed("TIMEOUT", "duplicate parameter"));
    check(
        &[("timeout", "5"), ("timeout", "6"), ("daemonize", "yes")],
        &failed("timeout", "duplicate parameter"),
    );
    check(&[("foo", "5"), ("bar", "6")], &unknown("foo"));
    check(&[("include", "5")], &unknown("include"));
    check(&[("list-max-ziplist-entries", "5")], &unknown("list-max-ziplist-entries"));
    check(&[("bar", "6"), ("daemonize", "yes")], &unknown("bar"));
    check(&[("DAEMONIZE", "yes"), ("bar", "6")], &failed("DAEMONIZE", "can't set immutable config"));
    let integer = "argument couldn't be parsed into an integer";
    check(&[("SLAVE-PRIORITY", "x")], &failed("slave-priority", integer));
    check(&[("dir", "/nosuch")], &failed("dir", "No such file or directory"));
    check(&[("dir", "")], &failed("dir", "dir can't be empty"));

    let pairs = [("slave-priority", "5"), ("replica-priority", "6"), ("timeout", "0"), ("hz", "11")];
    let (new, changed) = try_set(&settings, &pairs).unwrap();
    assert_eq!((new.int(D::ReplicaPriority), changed), (6, vec![D::ReplicaPriority, D::Hz]));
    let (_, changed) = try_set(&settings, &[("tls-cert-file", "")]).unwrap();
    assert_eq!(changed, [D::TlsCertFile], "certificates are read again");
}

#[test]
fn protected_settings_need_permission_and_some_wait_for_loading_to_end() {
    let try_as = |protected: &str, asker, name: &str, value: &str| {
        let settings = read(&format!("enable-protected-configs {protected}"));
        set(&settings, &[(name.as_bytes(), value.as_bytes())], asker, &mut Shelf::default()).map(|_| ())
    };
    let protected = || Err(SetError::Failed(b"dbfilename".to_vec(), "can't set protected config".into()));
    let remote = Asker::default();
    assert_eq!(try_as("no", TRUSTED, "dbfilename", "x"), protected());
    assert_eq!(try_as("local", TRUSTED, "dbfilename", "x"), Ok(()));
    assert_eq!(try_as("local", remote, "dbfilename", "x"), protected());
    assert_eq!(try_as("yes", remote, "dbfilename", "x"), Ok(()));
    let loading = Asker { is_local: true, is_loading: true };
    assert_eq!(try_as("yes", loading, "appendonly", "yes"), Err(SetError::Loading));
    assert_eq!(try_as("yes", loading, "timeout", "5"), Ok(()));
}

#[test]
fn every_name_set_to_its_own_value_changes_nothing() {
    let settings = read("enable-protected-configs yes\nsave 1 2\nmaxmemory 3gb\nmaxmemory-clients 7%");
    let mut tried = 0;
    for row in TABLE.iter().filter(|row| row.is_setting() && !row.flags.contains(Flags::IMMUTABLE)) {
        for name in std::iter::once(&row.name).chain(row.aliases) {
            let value = shown(&settings, row.directive);
            let (new, changed) = try_set(&settings, &[(name, &value)]).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(new, settings, "{name}");
            assert!(changed.is_empty() || row.flags.contains(Flags::VOLATILE), "{name}");
            tried += 1;
        }
    }
    assert!(tried > 150);
}

// ---- CONFIG REWRITE

#[test]
fn rewriting_keeps_comments_order_and_what_it_does_not_own() {
    let old = "# top comment\n\n\n\nport 23799\nslave-priority 5\nreplica-priority 7\ntimeout 10\ntimeout 0
  maxmemory 10mb\nsave 900 1\nsave 300 10\nrename-command FLUSHALL \"\"\ninclude nosuch*
list-max-ziplist-entries 5\nclient-output-buffer-limit pubsub 1mb 1mb 5\nrequirepass \"\"\nlogfile \"\"
appendonly no\nloglevel verbose\nuser bob on\nmasterauth \"a b\"\naclfile \"\"\n";
    let pairs = [
        ("maxmemory", "100mb"),
        ("save", "100 1 50 2"),
        ("maxmemory-clients", "5%"),
        ("bind", "127.0.0.1"),
        ("proc-title-template", "{title}\"x"),
        ("notify-keyspace-events", "KEA"),
        ("shutdown-on-sigint", "now save"),
        ("tcp-keepalive", "10"),
    ];
    let (settings, _) = try_set(&read(old), &pairs).unwrap();
    let users = [b"bob on resetchannels -@all".to_vec(), b"default on nopass ~* &* +@all".to_vec()];
    let extras = Extras { users: Some(&users), is_forced: false };
    let new = String::from_utf8(rewrite(&settings, old.as_bytes(), extras)).unwrap();
    let expected =
        "# top comment\n\nport 23799\nreplica-priority 7\n\ntimeout 0\n\nmaxmemory 100mb\nsave 100 1 50 2

rename-command FLUSHALL \"\"\ninclude nosuch*\n# ??? list-max-ziplist-entries 5
client-output-buffer-limit normal 0 0 0\n\nlogfile \"\"\nappendonly no\nloglevel verbose
user bob on resetchannels -@all\nprimaryauth \"a b\"\naclfile \"\"\n\n# Generated by CONFIG REWRITE\n";
    let (kept, added) = new.split_at(expected.len());
    assert_eq!(kept, expected);
    let mut added: Vec<&str> = added.lines().collect();
    added.sort_unstable();
    let expected = [
        "bind 127.0.0.1",
        "client-output-buffer-limit pubsub 1mb 1mb 5",
        "dir \"/start\"",
        "latency-tracking-info-percentiles 50 99 99.9",
        "maxmemory-clients 5%",
        "notify-keyspace-events \"AKE\"",
        "proc-title-template \"{title}\\\"x\"",
        "shutdown-on-sigint save now",
        "tcp-keepalive 10",
        "user default on nopass ~* &* +@all",
    ];
    assert_eq!(added, expected);
    let again = String::from_utf8(rewrite(&settings, new.as_bytes(), extras)).unwrap();
    assert_eq!(again.matches("# Generated").count(), 1);
    assert_eq!(read(&again), settings);
}

#[test]
fn a_forced_rewrite_names_every_setting_that_can_be_named() {
    let settings = read("");
    let forced = Extras { users: None, is_forced: true };
    let text = String::from_utf8(rewrite(&settings, b"", forced)).unwrap();
    for row in TABLE.iter().filter(|row| row.is_setting() && !row.flags.contains(Flags::NULLABLE)) {
        let is_named = text.lines().any(|line| line.starts_with(&format!("{} ", row.name)));
        let may_be_absent = matches!(row.directive, D::Bind | D::ReplicaOf);
        assert!(is_named || may_be_absent, "{}", row.name);
    }
    assert_eq!(read(&text), settings);
}

/// Values a directive accepts, and some it may not.
fn values(kind: Kind) -> BoxedStrategy<String> {
    let words = |list: &'static [&'static str]| proptest::sample::select(list);
    match kind {
        Kind::Bool => words(&["yes", "no", "YES"]).prop_map(str::to_owned).boxed(),
        Kind::Int(min, max) => (min..=max).prop_map(|n| n.to_string()).boxed(),
        Kind::Memory(min, max) => ((min..=max), 0u32..63)
            .prop_map(move |(n, s)| (n >> s << (s / 2)).clamp(min, max).to_string())
            .boxed(),
        Kind::MemoryOrOff => (-1i64..1 << 40).prop_map(|n| n.to_string()).boxed(),
        Kind::MemoryOrPercent => (0u64..200, any::<bool>())
            .prop_map(|(n, p)| if p { format!("{}%", n % 101) } else { format!("{n}mb") })
            .boxed(),
        Kind::Octal(max) => (0..=max).prop_map(|n| format!("{n:o}")).boxed(),
        Kind::Choice(list) => words(list).prop_map(str::to_owned).boxed(),
        Kind::Bits(list) => {
            proptest::collection::vec(words(list), 1..4).prop_map(|list| list.join(" ")).boxed()
        }
        Kind::Save => proptest::collection::vec((1i64..9999, 0i64..9999), 0..4)
            .prop_map(|list| list.iter().map(|(s, c)| format!("{s} {c}")).collect::<Vec<_>>().join(" "))
            .boxed(),
        Kind::OutputLimits => {
            (words(&["normal", "slave", "replica", "pubsub"]), 0u64..1 << 40, 0u64..9999, 0..99)
                .prop_map(|(class, hard, soft, seconds)| format!("{class} {hard} {soft}kb {seconds}"))
                .boxed()
        }
        Kind::Bind => {
            proptest::collection::vec("[-*.:0-9a-f\"]{1,9}", 0..5).prop_map(|l| l.join(" ")).boxed()
        }
        Kind::Events => "[Ag$lshzxeKEtmdn]{0,8}".boxed(),
        Kind::OomScores => {
            proptest::array::uniform3(-2000i64..=2000).prop_map(|[a, b, c]| format!("{a} {b} {c}")).boxed()
        }
        Kind::Percentiles => proptest::collection::vec(0u32..=100_000, 0..4)
            .prop_map(|l| {
                l.iter().map(|n| f64::from(*n) / 1000.0).map(|n| n.to_string()).collect::<Vec<_>>().join(" ")
            })
            .boxed(),
        Kind::Directory => "/[a-z \"]{0,9}".boxed(),
        Kind::ReplicaOf => ("[-.a-z0-9:']{1,9}", any::<u16>()).prop_map(|(h, p)| format!("{h} {p}")).boxed(),
        Kind::Text(_) => "[ -~\n\t\u{7f}é]{0,9}|[a-z]{0,9}|[0-9]{0,9}|1\\.2\\.3\\.4|::1|C".boxed(),
        Kind::Never(_) | Kind::Statement(..) | Kind::Retired => Just("no".to_owned()).boxed(),
    }
}

fn assignments() -> impl Strategy<Value = Vec<(D, String)>> {
    let rows: Vec<usize> = (0..TABLE.len()).filter(|index| TABLE[*index].is_setting()).collect();
    let one = proptest::sample::select(rows).prop_flat_map(|index| {
        values(TABLE[index].kind).prop_map(move |value| (TABLE[index].directive, value))
    });
    proptest::collection::vec(one, 0..60)
}

fn assigned(mut settings: Settings, assignments: &[(D, String)]) -> Settings {
    for (directive, value) in assignments {
        let args: Vec<&[u8]> = match directive.row().is_multi() {
            true if value.is_empty() => Vec::new(),
            true => value.split(' ').map(str::as_bytes).collect(),
            false => vec![value.as_bytes()],
        };
        // A primary and cluster mode exclude each other; texts may fail their check.
        if *directive != D::ClusterEnabled {
            let _ = settings.assign(*directive, &args);
        }
    }
    settings
}

proptest! {
    #[test]
    fn reading_what_was_rewritten_gives_the_same_settings(
        before in assignments(),
        after in assignments(),
        is_forced in any::<bool>(),
    ) {
        let extras = Extras { users: None, is_forced };
        let before = assigned(read(""), &before);
        let file = rewrite(&before, b"# mine\n\ntimeout 5\nsave 1 2\nsave 3 4", extras);
        prop_assert_eq!(&read(std::str::from_utf8(&file).unwrap()), &before);
        let after = assigned(before, &after);
        let file = rewrite(&after, &file, extras);
        prop_assert_eq!(&read(std::str::from_utf8(&file).unwrap()), &after);
        prop_assert!(file.starts_with(b"# mine\n"));
    }

    #[test]
    fn what_get_answers_set_takes_back(assignments in assignments()) {
        let base = assigned(read(""), &assignments);
        for row in TABLE.iter().filter(|row| row.is_setting() && !row.flags.contains(Flags::IMMUTABLE)) {
            // Shown, A hides n and addresses lose their blanks; Valkey is the same.
            if matches!(row.directive, D::NotifyKeyspaceEvents | D::Dir | D::DbFilename) {
                continue;
            }
            let value = base.show(row.directive);
            let asker = Asker { is_local: true, is_loading: false };
            let pairs = [(row.name.as_bytes(), value.as_slice())];
            let (new, _) = set(&base, &pairs, asker, &mut Shelf::default()).unwrap();
            prop_assert_eq!(new.show(row.directive), value);
            prop_assert_eq!(&new, &base, "{}", row.name);
        }
    }

    #[test]
    fn no_text_and_no_command_line_brings_the_reader_down(
        text in "([a-z-]{1,8}|save|bind|user|[\"' #\\\\\n*-]|[0-9]{1,3}){0,20}",
        args in proptest::collection::vec("(--[a-z]{0,4}|--save|--port|[0-9 \"-]{0,4})", 0..8),
    ) {
        let mut shelf = Shelf::with(&[("f", &text)]);
        let _ = start(&mut shelf, &["f"]);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        if !matches!(args.first(), Some(&("-v" | "-h"))) {
            let _ = start(&mut shelf, &args);
        }
        let _ = rewrite(&Settings::default(), text.as_bytes(), Extras::default());
    }
}

// ---- The example file and the disk

#[test]
fn the_example_file_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/redis.conf.example");
    if std::env::var_os("UPDATE_EXAMPLE").is_some() {
        std::fs::write(path, example()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == example(),
        "run this test with UPDATE_EXAMPLE=1 to bring redis.conf.example up to date"
    );
    let mut uncommented = String::new();
    for line in committed.lines().filter_map(|line| line.strip_prefix("# ")) {
        let name = line.split(' ').next().unwrap();
        if D::named(name.as_bytes()).is_some_and(|d| d.row().name == name && d.row().is_setting()) {
            let _ = writeln!(uncommented, "{line}");
        }
    }
    assert_eq!(read(&uncommented), read(""));
    assert_eq!(uncommented.lines().count(), TABLE.iter().filter(|row| row.is_setting()).count());
}

#[test]
fn names_and_aliases_are_told_once() {
    let mut names: Vec<&str> =
        TABLE.iter().flat_map(|row| std::iter::once(&row.name).chain(row.aliases)).copied().collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    for row in TABLE {
        assert_eq!(row.name, row.name.to_ascii_lowercase());
        assert_eq!(D::named(row.name.to_uppercase().as_bytes()), Some(row.directive));
        assert!(!row.doc.is_empty());
    }
}

#[test]
fn the_disk_finds_files_by_patterns_and_replaces_them_whole() {
    let root = std::env::temp_dir().join(format!("ochre-config-{}", std::process::id()));
    std::fs::create_dir_all(root.join("conf.d/sub")).unwrap();
    let base = root.canonicalize().unwrap().into_os_string().into_encoded_bytes();
    for name in ["conf.d/b.conf", "conf.d/a.conf", "conf.d/.hidden.conf", "conf.d/x.txt", "conf.d/sub/c.conf"]
    {
        std::fs::write(root.join(name), name).unwrap();
    }
    let found = |pattern: &str| {
        let found = Disk.matching(&base, pattern.as_bytes());
        found.into_iter().map(|path| String::from_utf8(path).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(found("conf.d/*.conf"), ["conf.d/a.conf", "conf.d/b.conf"]);
    assert_eq!(found("c*/s?b/[a-d].conf"), ["conf.d/sub/c.conf"]);
    assert_eq!(found("none/*"), Vec::<String>::new());
    let absolute = format!("{}/conf.d/x*", String::from_utf8(base.clone()).unwrap());
    assert_eq!(found(&absolute), [format!("{}t.txt", absolute.trim_end_matches('*')).replace("xt.", "x.")]);

    assert_eq!(Disk.read(&base, b"conf.d/a.conf").unwrap(), b"conf.d/a.conf");
    let here = Disk.directory(&base, b"conf.d/../conf.d").unwrap();
    assert_eq!(here, [base.as_slice(), b"/conf.d"].concat());
    assert!(Disk.directory(&base, b"conf.d/a.conf").is_err());
    let path = [base.as_slice(), b"/conf.d/a.conf"].concat();
    write_file(&path, b"new\n").unwrap();
    assert_eq!(Disk.read(&base, b"conf.d/a.conf").unwrap(), b"new\n");
    assert!(write_file(&[base.as_slice(), b"/none/a.conf"].concat(), b"x").is_err());
    let left = std::fs::read_dir(root.join("conf.d")).unwrap().count();
    assert_eq!(left, 5, "nothing temporary is left");
    std::fs::remove_dir_all(root).unwrap();
}
