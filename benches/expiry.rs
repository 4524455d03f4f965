//! How late keys leave: the `expired` event of every key against its deadline, beside a timer thread that
//! does nothing else.
//!
//! ```text
//! cargo build --release
//! cargo bench --bench expiry -- ochre=target/release/ochre-server valkey=/path/to/valkey-server
//! cargo bench --bench expiry -- --keys 100000 --runs 3 --get-clients 50 ochre=target/release/ochre-server
//! ```
//!
//! Each server is started without persistence on a loopback port of its own, filled with keys whose deadlines
//! lie evenly over ten seconds that begin when the filling is over, and left alone but for one subscriber of
//! `__keyevent@0__:expired`, which reads what there is in large pieces and notes the time once a read. The
//! idle timer sleeps from millisecond to millisecond meanwhile and notes how late it wakes: what it shows is
//! the machine's, not the server's. Options:
//!
//! ```text
//! --keys N          how many keys (1,000,000)
//! --runs N          how often, servers in turn (1)
//! --span-ms N       over how long their deadlines lie (10,000)
//! --get-clients N   redis-benchmark reads with that many connections meanwhile, one request at a time (0)
//! --pin             server on core 0, subscriber, timer and readers on core 1; otherwise all run anywhere
//! ```

#![allow(clippy::disallowed_methods)] // A benchmark reads the real time.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Requests that are sent at once while the server is filled.
const FILLED_AT_ONCE: usize = 1000;
/// Between the start of filling and the first deadline, for each key; and at least.
const FILL_NS_PER_KEY: u64 = 5000;
const FILL_MS_AT_LEAST: u64 = 500;
/// Largest read of the subscriber.
const READ_BYTES: usize = 1024 * 1024;
/// The subscriber gives up when nothing has come for this long after the last deadline.
const PATIENCE: Duration = Duration::from_secs(12);
/// Digits of a key's name, as redis-benchmark writes them.
const DIGITS: usize = 12;
/// What is before a key's name in its message.
const HEAD: &[u8] = b"*3\r\n$7\r\nmessage\r\n$22\r\n__keyevent@0__:expired\r\n$12\r\n";
/// Length of a message.
const MESSAGE: usize = HEAD.len() + DIGITS + 2;
/// Neighbours in number are this far apart in time, in steps; prime, so that every step is taken once.
const STRIDE: u64 = 7919;
/// Requests of one run of redis-benchmark.
const GETS: usize = 50_000;

struct Options {
    keys: usize,
    runs: usize,
    span_ms: u64,
    get_clients: usize,
    pin: bool,
    servers: Vec<(String, String)>,
}

impl Options {
    fn parse() -> Result<Options> {
        let (keys, runs, span_ms) = (1_000_000, 1, 10_000);
        let mut it = Options { keys, runs, span_ms, get_clients: 0, pin: false, servers: Vec::new() };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut number = || -> Result<usize> { Ok(words.next().ok_or("a number is missing")?.parse()?) };
            match word.as_str() {
                "--bench" => {}
                "--keys" => it.keys = number()?,
                "--runs" => it.runs = number()?,
                "--span-ms" => it.span_ms = number()? as u64,
                "--get-clients" => it.get_clients = number()?,
                "--pin" => it.pin = true,
                _ => {
                    let (name, path) = word.split_once('=').ok_or("wanted: name=/path/to/server")?;
                    it.servers.push((name.into(), path.into()));
                }
            }
        }
        Ok(it)
    }

    /// Deadline of a key, milliseconds after the first one.
    fn deadline_ms(&self, key: usize) -> u64 {
        key as u64 * STRIDE % self.span_ms
    }
}

/// A server that runs until this is dropped.
struct Server {
    child: Child,
    port: u16,
    /// Its own, and empty, so that it finds nobody's data.
    dir: PathBuf,
}

impl Server {
    fn start(path: &str, pin: bool) -> Result<Server> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let dir = std::env::temp_dir().join(format!("ochre-expiry-{port}"));
        std::fs::create_dir(&dir)?;
        let mut command = if pin { Command::new("taskset") } else { Command::new(path) };
        if pin {
            command.args(["-c", "0", path]);
        }
        command.args(["--bind", "127.0.0.1", "--save", "", "--notify-keyspace-events", "Ex"]);
        command.arg("--port").arg(port.to_string()).arg("--dir").arg(&dir);
        let child = command.stdout(Stdio::null()).spawn()?;
        let server = Server { child, port, dir };
        for _ in 0..500 {
            if server.connect().is_ok() {
                return Ok(server);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err("the server does not listen".into())
    }

    fn connect(&self) -> Result<TcpStream> {
        Ok(TcpStream::connect(("127.0.0.1", self.port))?)
    }

    /// CPU time it has used so far, milliseconds.
    fn cpu_ms(&self) -> Result<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let times = stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(11).take(2);
        // The system counts hundredths of a second.
        Ok(times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970").as_micros() as u64
}

fn pin_to(core: usize, pin: bool) {
    if pin {
        let mut cores = rustix::thread::CpuSet::new();
        cores.set(core);
        let _ = rustix::thread::sched_setaffinity(None, &cores);
    }
}

/// Microseconds by which something was late, one for each time it happened.
#[derive(Default)]
struct Lags(Vec<u32>);

impl Lags {
    fn add(&mut self, expected_us: u64, at_us: u64) {
        self.0.push(at_us.saturating_sub(expected_us).try_into().unwrap_or(u32::MAX));
    }

    fn show(&mut self) -> String {
        self.0.sort_unstable();
        let at = |part: f64| self.0.get(((self.0.len() as f64 * part) as usize).min(self.0.len() - 1));
        let ms = |part| at(part).map_or(0.0, |&us| f64::from(us) / 1000.0);
        format!("{:8.2} {:8.2} {:8.2} {:8.2}", ms(0.5), ms(0.99), ms(0.999), ms(1.0))
    }
}

/// What the subscriber has seen.
struct Seen {
    lags: Lags,
    /// By key: how many events.
    events: Vec<u8>,
    /// Reads that it took.
    reads: usize,
    /// Events before their deadline.
    early: usize,
}

/// Sends one request and waits for so many bytes of answer.
fn ask(stream: &mut TcpStream, request: &str, answer: usize) -> Result<Vec<u8>> {
    stream.write_all(request.as_bytes())?;
    let mut bytes = vec![0; answer];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Sets all keys; the first deadline is at `start_ms`.
fn fill(server: &Server, options: &Options, start_ms: u64) -> Result<()> {
    let mut stream = server.connect()?;
    let mut request = String::new();
    for first in (0..options.keys).step_by(FILLED_AT_ONCE) {
        let keys = first..options.keys.min(first + FILLED_AT_ONCE);
        request.clear();
        for key in keys.clone() {
            let at_ms = start_ms + options.deadline_ms(key);
            write!(
                request,
                "*5\r\n$3\r\nSET\r\n$12\r\n{key:012}\r\n$1\r\nv\r\n$4\r\nPXAT\r\n$13\r\n{at_ms}\r\n"
            )?;
        }
        let answer = ask(&mut stream, &request, keys.len() * 5)?;
        if answer.chunks(5).any(|reply| reply != b"+OK\r\n") {
            return Err("SET was refused".into());
        }
    }
    Ok(())
}

/// Hears of keys until all have left, or none has for too long.
fn listen(mut stream: TcpStream, options: &Options, start_ms: u64) -> Result<Seen> {
    pin_to(1, options.pin);
    let lags = Lags(Vec::with_capacity(options.keys));
    let mut seen = Seen { lags, events: vec![0; options.keys], reads: 0, early: 0 };
    let mut buf = vec![0; READ_BYTES];
    let mut kept = 0;
    stream.set_read_timeout(Some(PATIENCE + Duration::from_millis(options.span_ms)))?;
    while seen.lags.0.len() < options.keys {
        let Ok(n) = stream.read(&mut buf[kept..]) else { break };
        let now_us = unix_us();
        if n == 0 {
            return Err("the server has closed the subscriber".into());
        }
        seen.reads += 1;
        let filled = kept + n;
        let whole = filled - filled % MESSAGE;
        for message in buf[..whole].chunks(MESSAGE) {
            let name = message.strip_prefix(HEAD).ok_or("not an event of this channel")?;
            let key: usize = std::str::from_utf8(&name[..DIGITS])?.parse()?;
            let deadline_us = (start_ms + options.deadline_ms(key)) * 1000;
            seen.early += usize::from(now_us < deadline_us);
            seen.events[key] = seen.events[key].saturating_add(1);
            seen.lags.add(deadline_us, now_us);
        }
        buf.copy_within(whole..filled, 0);
        kept = filled - whole;
    }
    Ok(seen)
}

/// Sleeps from millisecond to millisecond.
fn wake_on_time(options: &Options, start_ms: u64) -> Lags {
    pin_to(1, options.pin);
    let mut lags = Lags::default();
    for at_ms in start_ms..start_ms + options.span_ms {
        let left_us = (at_ms * 1000).saturating_sub(unix_us());
        if left_us > 0 {
            thread::sleep(Duration::from_micros(left_us));
        }
        lags.add(at_ms * 1000, unix_us());
    }
    lags
}

/// Reads with redis-benchmark until the last deadline; what it says of each run.
fn read_meanwhile(port: u16, options: &Options, until: Instant) -> Result<String> {
    let mut runs = Vec::new();
    while until.saturating_duration_since(Instant::now()) > Duration::from_millis(500) {
        let mut command = Command::new(if options.pin { "taskset" } else { "redis-benchmark" });
        if options.pin {
            command.args(["-c", "1", "redis-benchmark"]);
        }
        command.args(["-p", &port.to_string(), "-c", &options.get_clients.to_string(), "--csv"]);
        command.args(["-n", &GETS.to_string(), "-r", &options.keys.to_string(), "GET", "__rand_int__"]);
        let out = String::from_utf8(command.stderr(Stdio::null()).output()?.stdout)?;
        let line = out.lines().last().unwrap_or("");
        let fields: Vec<f64> =
            line.rsplit(',').take(7).filter_map(|it| it.trim_matches('"').parse().ok()).collect();
        // Backwards: the longest, three percentiles, the shortest, the mean, requests a second.
        let [max, p99, _, _, _, _, rate] = fields[..] else {
            return Err("redis-benchmark says nothing".into());
        };
        runs.push((rate, p99, max));
    }
    let rates = runs.iter().map(|run| run.0);
    let slowest = rates.clone().fold(f64::INFINITY, f64::min);
    let mean = rates.sum::<f64>() / runs.len() as f64;
    let worst = |of: fn(&(f64, f64, f64)) -> f64| runs.iter().map(of).fold(0.0, f64::max);
    Ok(format!(
        "  GET: {mean:.0}/s, slowest of {} runs {slowest:.0}/s, worst p99 {:.1} ms, max {:.1} ms",
        runs.len(),
        worst(|run| run.1),
        worst(|run| run.2)
    ))
}

fn measure(name: &str, path: &str, options: &Options) -> Result<()> {
    let server = Server::start(path, options.pin)?;
    let mut subscriber = server.connect()?;
    let subscribed = "*3\r\n$9\r\nsubscribe\r\n$22\r\n__keyevent@0__:expired\r\n:1\r\n";
    ask(&mut subscriber, "SUBSCRIBE __keyevent@0__:expired\r\n", subscribed.len())?;
    let fill_ms = FILL_MS_AT_LEAST + options.keys as u64 * FILL_NS_PER_KEY / 1_000_000;
    let start_ms = unix_us() / 1000 + fill_ms;
    let until = Instant::now() + Duration::from_millis(fill_ms + options.span_ms);
    fill(&server, options, start_ms)?;
    if unix_us() / 1000 >= start_ms {
        return Err("the keys were not set before the first deadline".into());
    }
    let before_ms = server.cpu_ms()?;
    let (seen, mut idle, gets, cpu_ms) = thread::scope(|scope| {
        let heard = scope.spawn(|| listen(subscriber, options, start_ms));
        let idle = scope.spawn(|| wake_on_time(options, start_ms));
        let gets = scope.spawn(|| match options.get_clients {
            0 => Ok(String::new()),
            _ => read_meanwhile(server.port, options, until),
        });
        let idle = idle.join().expect("the timer does not panic");
        let cpu_ms = server.cpu_ms();
        let gets = gets.join().expect("the readers do not panic");
        (heard.join().expect("the subscriber does not panic"), idle, gets, cpu_ms)
    });
    let mut seen = seen?;
    let missing = seen.events.iter().filter(|&&count| count == 0).count();
    let twice = seen.events.iter().filter(|&&count| count > 1).count();
    let events = seen.lags.0.len();
    println!("{name:10} event {}   {events} events in {} reads", seen.lags.show(), seen.reads);
    println!("{:10} timer {}   server CPU {} ms", "", idle.show(), cpu_ms? - before_ms);
    if missing + twice + seen.early > 0 {
        println!(
            "  WRONG: {missing} keys without event, {twice} with several, {} events too early",
            seen.early
        );
    }
    let gets = gets?;
    if !gets.is_empty() {
        println!("{gets}");
    }
    Ok(())
}

fn main() -> Result<()> {
    let options = Options::parse()?;
    if options.servers.is_empty() {
        println!("no server is named: see the beginning of benches/expiry.rs");
        return Ok(());
    }
    let Options { keys, span_ms, pin, get_clients, .. } = options;
    println!("{keys} keys over {span_ms} ms, pinned: {pin}, reading clients: {get_clients}; lag in ms");
    println!("{:16} {:>8} {:>8} {:>8} {:>8}", "", "p50", "p99", "p99.9", "max");
    for _ in 0..options.runs {
        for (name, path) in &options.servers {
            measure(name, path, &options)?;
        }
    }
    Ok(())
}
