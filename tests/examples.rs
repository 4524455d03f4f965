//! Whether the examples keep their promises when many use them at once.
//!
//! For: examples/*.rs, whose functions are run here against a server of four workers. May touch: sockets, the
//! public API of the crate.
//! Always: what must hold whatever the timing; waits are for a state, never for a time.

// An example's own `main` is not run here.
#![allow(dead_code)]

#[path = "../examples/cache_aside.rs"]
mod cache_aside;
#[path = "../examples/delayed_queue.rs"]
mod delayed_queue;
#[path = "../examples/fan_out.rs"]
mod fan_out;
#[path = "../examples/locks.rs"]
mod locks;
#[path = "../examples/order_timeout.rs"]
mod order_timeout;
#[path = "support/patience.rs"]
mod patience;

use patience::until;
use redis::{Client, Commands, Connection};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::scope;

/// A server of four workers, and a way to it.
struct Place {
    client: Client,
    /// Ends with this value.
    _server: ochre::Server,
}

impl Place {
    fn start(directives: &[(&str, &str)]) -> Place {
        let builder = ochre::Server::builder()
            .config("bind", "127.0.0.1")
            .config("port", "0")
            .config("io-threads", "4");
        let builder = directives.iter().fold(builder, |builder, (name, value)| builder.config(name, value));
        let server = builder.start().expect("a server starts on a free port");
        let client = Client::open(format!("redis://{}", server.addr())).expect("an address is an address");
        Place { client, _server: server }
    }

    fn connect(&self) -> Connection {
        self.client.get_connection().expect("the server accepts connections")
    }

    /// Runs `act` on so many connections at the same time: what each answers.
    fn at_once<T: Send>(&self, count: usize, act: impl Fn(usize, &mut Connection) -> T + Sync) -> Vec<T> {
        let (start, act) = (Barrier::new(count), &act);
        let work = |id| {
            let (mut con, start) = (self.connect(), &start);
            move || {
                start.wait();
                act(id, &mut con)
            }
        };
        scope(|scope| {
            let threads: Vec<_> = (0..count).map(|id| scope.spawn(work(id))).collect();
            threads.into_iter().map(|it| it.join().expect("nobody panics")).collect()
        })
    }
}

#[test]
fn a_lock_with_fifty_contenders_is_held_by_one_at_a_time() {
    const CONTENDERS: usize = 50;
    const TIMES: usize = 10;
    let place = Place::start(&[]);
    let is_held = AtomicBool::new(false);
    place.at_once(CONTENDERS, |id, con| {
        for n in 0..TIMES {
            let token = format!("{id}:{n}");
            locks::with_lock(con, "lock", &token, 600_000, |con| {
                assert!(!is_held.swap(true, Ordering::SeqCst), "two hold the lock");
                // A step that would be lost if somebody else were here.
                let count: Option<usize> = con.get("count")?;
                () = con.set("count", count.unwrap_or(0) + 1)?;
                assert!(!locks::unlock(con, "lock", "somebody else's")?);
                assert!(!locks::try_lock(con, "lock", "another's", 1)?);
                assert!(is_held.swap(false, Ordering::SeqCst));
                Ok(())
            })
            .expect("the lock is got sooner or later");
        }
    });
    assert_eq!(place.connect().get("count"), Ok(CONTENDERS * TIMES));
    assert_eq!(place.connect().exists("lock"), Ok(false));
}

#[test]
fn each_delayed_task_is_handled_once_and_not_before_its_time() {
    const CONSUMERS: usize = 16;
    const TASKS: u64 = 400;
    let place = Place::start(&[]);
    let mut con = place.connect();
    for n in 0..TASKS {
        delayed_queue::schedule(&mut con, "tasks", &format!("task {n}"), n * 7 % 60)
            .expect("it is scheduled");
    }
    let due: HashMap<String, u64> = con.zrange_withscores("tasks", 0, -1).expect("tasks have their times");
    assert_eq!(due.len() as u64, TASKS);
    let handled = place.at_once(CONSUMERS, |_, con| {
        let mut mine = Vec::new();
        delayed_queue::consume(con, "tasks", |con, task| {
            assert!(delayed_queue::now_ms(con)? >= due[&task], "{task} comes too early");
            mine.push(task);
            Ok(())
        })
        .expect("consumers work until the queue is empty");
        mine
    });
    let mut handled: Vec<String> = handled.into_iter().flatten().collect();
    handled.sort();
    let mut expected: Vec<String> = due.into_keys().collect();
    expected.sort();
    assert_eq!(handled, expected);
}

#[test]
fn an_order_ends_once_however_close_payment_and_deadline_come() {
    const LAST: u64 = 400;
    const LISTENERS: usize = 3;
    const PAYERS: usize = 5;
    let place = Place::start(&[order_timeout::EVENTS]);
    let (listens, cancelled) = (Barrier::new(LISTENERS + 1), AtomicUsize::new(0));
    let paid: usize = scope(|scope| {
        for _ in 0..LISTENERS {
            scope.spawn(|| {
                let mine = order_timeout::cancel_late(&place.client, LAST, || {
                    listens.wait();
                });
                cancelled.fetch_add(mine.expect("listeners work"), Ordering::SeqCst);
            });
        }
        listens.wait();
        let paid = place.at_once(PAYERS, |id, con| {
            let mut paid = 0;
            for order in (0..LAST).filter(|it| *it as usize % PAYERS == id) {
                order_timeout::open(con, order, 1).expect("an order is opened");
                // The deadline comes while some of them think it over.
                (0..order % 16).for_each(|_| drop(order_timeout::state(con, order)));
                paid += usize::from(order_timeout::pay(con, order).expect("paying is answered"));
            }
            paid
        });
        // Nobody pays this one.
        order_timeout::open(&mut place.connect(), LAST, 50).expect("an order is opened");
        paid.into_iter().sum()
    });
    let mut con = place.connect();
    let mut states: HashMap<String, usize> = HashMap::new();
    for order in 0..=LAST {
        *states.entry(order_timeout::state(&mut con, order).expect("orders have a state")).or_default() += 1;
    }
    assert_eq!(states.get("paid").copied().unwrap_or(0), paid);
    assert_eq!(states.get("cancelled").copied().unwrap_or(0), cancelled.into_inner());
}

#[test]
fn a_cache_forgets_what_was_changed() {
    const PROCESSES: usize = 8;
    const NAMES: usize = 4;
    const READS: usize = 400;
    let place = Place::start(&[cache_aside::EVENTS]);
    let source: Vec<AtomicUsize> = (0..NAMES).map(|_| AtomicUsize::new(0)).collect();
    let loads = AtomicUsize::new(0);
    let load = |n: usize| {
        loads.fetch_add(1, Ordering::SeqCst);
        source[n].load(Ordering::SeqCst).to_string()
    };
    let all_listen = Arc::new(Barrier::new(PROCESSES + 1));
    let mut caches = Vec::new();
    for _ in 0..PROCESSES {
        let copies = Arc::new(Mutex::new(cache_aside::Copies::default()));
        caches.push(cache_aside::Cache::new(&place.client, Arc::clone(&copies)).expect("a cache connects"));
        let (client, all_listen) = (place.client.clone(), Arc::clone(&all_listen));
        // Ends with the server.
        std::thread::spawn(move || {
            cache_aside::hear(&client, &copies, || {
                all_listen.wait();
            })
        });
    }
    all_listen.wait();
    scope(|scope| {
        for (id, cache) in caches.iter_mut().enumerate() {
            let (source, load) = (&source, &load);
            scope.spawn(move || {
                for n in 0..READS {
                    let name = (id + n) % NAMES;
                    let value = cache.read(&name.to_string(), || load(name)).expect("a value is read");
                    let newest = source[name].load(Ordering::SeqCst);
                    assert!(value.parse::<usize>().is_ok_and(|it| it <= newest), "{value} was never there");
                    if n % 25 == 0 {
                        source[name].fetch_add(1, Ordering::SeqCst);
                        cache.changed(&name.to_string()).expect("a change is told");
                    }
                }
            });
        }
    });
    for cache in &mut caches {
        for (n, newest) in source.iter().enumerate() {
            let newest = newest.load(Ordering::SeqCst).to_string();
            until("the cache has the newest value", || {
                cache.read(&n.to_string(), || load(n)).as_ref() == Ok(&newest)
            });
        }
    }
    assert!(loads.into_inner() < PROCESSES * READS / 2, "the cache is of no use");
}

#[test]
fn all_listeners_hear_the_same_news_in_the_same_order() {
    const LISTENERS: usize = 12;
    const TELLERS: usize = 4;
    const EACH: usize = 100;
    let place = Place::start(&[]);
    let all_listen = Barrier::new(LISTENERS + 1);
    let heard: Vec<Vec<String>> = scope(|scope| {
        let listen = |_| {
            let (client, all_listen, (heard, hears)) =
                (&place.client, &all_listen, std::sync::mpsc::channel());
            scope.spawn(move || {
                fan_out::listen(
                    client,
                    "news",
                    || {
                        all_listen.wait();
                    },
                    &heard,
                )
                .expect("it listens");
                drop(heard);
                hears.into_iter().collect()
            })
        };
        let threads: Vec<_> = (0..LISTENERS).map(listen).collect();
        all_listen.wait();
        place.at_once(TELLERS, |id, con| {
            for n in 0..EACH {
                assert_eq!(fan_out::tell(con, "news", &format!("{id}:{n}")), Ok(LISTENERS));
            }
        });
        assert_eq!(fan_out::tell(&mut place.connect(), "news", fan_out::END), Ok(LISTENERS));
        threads.into_iter().map(|it| it.join().expect("it listens")).collect()
    });
    assert_eq!(heard[0].len(), TELLERS * EACH);
    assert!(heard.iter().all(|it| *it == heard[0]));
}
