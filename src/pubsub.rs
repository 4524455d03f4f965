//! Channels and who listens to them.
//!
//! For: subscribing, and handing a message to the workers of its subscribers. May touch: the workers' mail,
//! through the function it was given.
//! Always: a message goes to all workers under its channel's lock, so every subscriber of a channel sees one
//! order; publishing never waits for a subscriber; a message is written once for all of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::RwLock;
use smallvec::SmallVec;

use crate::resp::{BIG_ARG, Out, Proto};
use crate::value::glob;

/// Where a subscriber's connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Its worker.
    pub worker: usize,
    /// Its place there, which another connection may take after it.
    pub place: usize,
    /// The client's id, which no other ever has.
    pub client: u64,
}

/// The kinds of subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// To a channel by name.
    Channel,
    /// To the channels that match a pattern.
    Pattern,
    /// To a channel that belongs to a slot.
    Shard,
}

/// A frame of up to this many bytes is one allocation.
const FRAME_BYTES: usize = 128;

/// A message, written but for the first line, in which the protocols differ.
#[derive(Debug)]
pub struct Frame {
    /// What it was sent through.
    pub sort: Sort,
    parts: usize,
    body: SmallVec<[u8; FRAME_BYTES]>,
    /// Where in the body the channel or pattern is that its receivers have subscribed to.
    name: Range<usize>,
    /// The payload, where it is too long to be copied to every receiver.
    payload: Option<Arc<Vec<u8>>>,
}

impl Frame {
    /// `between`: the parts between name and payload.
    fn new(sort: Sort, word: &[u8], name: &[u8], between: &[&[u8]], payload: &[u8]) -> Arc<Frame> {
        let mut body = SmallVec::new();
        bulk(&mut body, word);
        bulk(&mut body, name);
        let end = body.len() - b"\r\n".len();
        between.iter().for_each(|part| bulk(&mut body, part));
        let is_long = payload.len() > BIG_ARG;
        if !is_long {
            bulk(&mut body, payload);
        }
        let payload = is_long.then(|| Arc::new(payload.to_vec()));
        Arc::new(Frame { sort, parts: 3 + between.len(), body, name: end - name.len()..end, payload })
    }

    fn message(sort: Sort, channel: &[u8], payload: &[u8]) -> Arc<Frame> {
        let word: &[u8] = if sort == Sort::Shard { b"smessage" } else { b"message" };
        Frame::new(sort, word, channel, &[], payload)
    }

    fn pattern_message(pattern: &[u8], channel: &[u8], payload: &[u8]) -> Arc<Frame> {
        Frame::new(Sort::Pattern, b"pmessage", pattern, &[channel], payload)
    }

    /// The channel or pattern that its receivers have subscribed to.
    pub fn name(&self) -> &[u8] {
        &self.body[self.name.clone()]
    }

    /// Writes it to one of its receivers.
    pub fn write(&self, out: &mut Out) {
        out.push(self.parts);
        out.raw(&self.body);
        if let Some(payload) = &self.payload {
            out.bulk_shared(payload);
        }
    }
}

/// Writes a string as [`Out::bulk`] does.
fn bulk(body: &mut SmallVec<[u8; FRAME_BYTES]>, data: &[u8]) {
    let mut digits = itoa::Buffer::new();
    for part in [b"$", digits.format(data.len()).as_bytes(), b"\r\n", data, b"\r\n"] {
        body.extend_from_slice(part);
    }
}

/// The channel that a subscriber hears of invalid keys through, where its protocol has no pushes.
const INVALIDATE: &[u8] = b"__redis__:invalidate";

/// What clients are told that they have not subscribed to.
#[derive(Debug)]
pub enum Notice {
    /// Keys that a client has read have changed; none: all keys, and whatever else it may have read.
    Stale {
        /// The keys.
        keys: Vec<Arc<[u8]>>,
        /// It was another client that has read them.
        is_redirected: bool,
    },
    /// The client to which these messages were redirected is gone.
    RedirectBroken(u64),
    /// A line of MONITOR, as it is sent.
    Ran(Vec<u8>),
}

impl Notice {
    /// Writes it to its receiver, if that can be told in its protocol.
    pub fn write(&self, out: &mut Out, is_subscriber: bool) {
        let has_pushes = out.proto() == Proto::Resp3;
        match self {
            Notice::Stale { keys, is_redirected } => {
                if has_pushes {
                    out.push(2);
                    out.bulk(b"invalidate");
                } else if *is_redirected && is_subscriber {
                    out.push(3);
                    out.bulk(b"message");
                    out.bulk(INVALIDATE);
                } else {
                    return;
                }
                if keys.is_empty() {
                    return out.null();
                }
                out.array(keys.len());
                keys.iter().for_each(|key| out.bulk(key));
            }
            Notice::RedirectBroken(client) => {
                if has_pushes {
                    out.push(2);
                    out.bulk(b"tracking-redir-broken");
                    out.int(*client as i64);
                }
            }
            Notice::Ran(line) => out.raw(line),
        }
    }
}

/// What a message says.
#[derive(Clone)]
pub enum Body {
    /// Something that was published.
    Frame(Arc<Frame>),
    /// Something else.
    Notice(Arc<Notice>),
}

/// A message on its way to clients of one worker.
pub struct Message {
    /// The worker.
    pub worker: usize,
    /// Who of its clients it was sent to.
    pub to: Arc<Vec<Seat>>,
    /// Who of them has got it already, by the ids of clients.
    pub but: Vec<u64>,
    /// What is sent.
    pub body: Body,
}

impl Message {
    /// A notice for one client.
    pub fn notice(to: Seat, notice: Notice) -> Message {
        let body = Body::Notice(Arc::new(notice));
        Message { worker: to.worker, to: Arc::new(vec![to]), but: Vec::new(), body }
    }
}

/// Leaves a message for a worker.
pub type Post = Box<dyn Fn(Message) + Send + Sync>;

/// The subscribers of one channel or pattern, worker by worker.
#[derive(Default)]
struct Audience(Vec<(usize, Arc<Vec<Seat>>)>);

impl Audience {
    fn add(&mut self, seat: Seat) {
        let group = match self.0.iter().position(|(worker, _)| *worker == seat.worker) {
            Some(at) => at,
            None => {
                self.0.push((seat.worker, Arc::default()));
                self.0.len() - 1
            }
        };
        Arc::make_mut(&mut self.0[group].1).push(seat);
    }

    /// Takes a subscriber out. True: nobody is left.
    fn remove(&mut self, seat: Seat) -> bool {
        if let Some(at) = self.0.iter().position(|(worker, _)| *worker == seat.worker) {
            let group = Arc::make_mut(&mut self.0[at].1);
            group.retain(|other| other.client != seat.client);
            if group.is_empty() {
                self.0.swap_remove(at);
            }
        }
        self.0.is_empty()
    }

    fn len(&self) -> usize {
        self.0.iter().map(|(_, group)| group.len()).sum()
    }

    /// Sends a frame to everybody here.
    fn send(&self, post: &Post, frame: &Arc<Frame>) -> usize {
        for (worker, to) in &self.0 {
            let (to, but, body) = (Arc::clone(to), Vec::new(), Body::Frame(Arc::clone(frame)));
            post(Message { worker: *worker, to, but, body });
        }
        self.len()
    }
}

/// All channels of a space.
pub struct Channels {
    channels: DashMap<Box<[u8]>, Audience>,
    shard_channels: DashMap<Box<[u8]>, Audience>,
    patterns: RwLock<BTreeMap<Box<[u8]>, Audience>>,
    pattern_count: AtomicUsize,
    post: Post,
}

impl Channels {
    /// No channel has a subscriber yet; `post` leaves messages for workers and never blocks.
    pub fn new(post: Post) -> Channels {
        Channels {
            channels: DashMap::new(),
            shard_channels: DashMap::new(),
            patterns: RwLock::default(),
            pattern_count: AtomicUsize::new(0),
            post,
        }
    }

    fn of(&self, sort: Sort) -> &DashMap<Box<[u8]>, Audience> {
        if sort == Sort::Shard { &self.shard_channels } else { &self.channels }
    }

    /// Adds a subscriber, who was none of this channel or pattern.
    pub fn subscribe(&self, sort: Sort, name: &[u8], seat: Seat) {
        if sort == Sort::Pattern {
            let mut patterns = self.patterns.write();
            patterns.entry(name.into()).or_default().add(seat);
            self.pattern_count.store(patterns.len(), Ordering::Release);
        } else {
            self.of(sort).entry(name.into()).or_default().add(seat);
        }
    }

    /// Takes a subscriber out.
    pub fn unsubscribe(&self, sort: Sort, name: &[u8], seat: Seat) {
        if sort == Sort::Pattern {
            let mut patterns = self.patterns.write();
            if patterns.get_mut(name).is_some_and(|audience| audience.remove(seat)) {
                patterns.remove(name);
            }
            self.pattern_count.store(patterns.len(), Ordering::Release);
        } else if let Entry::Occupied(mut entry) = self.of(sort).entry(name.into())
            && entry.get_mut().remove(seat)
        {
            entry.remove();
        }
    }

    /// Sends a message to a channel; returns how many subscriptions it goes to.
    pub fn publish(&self, sort: Sort, channel: &[u8], payload: &[u8]) -> usize {
        if sort == Sort::Shard || self.pattern_count.load(Ordering::Acquire) == 0 {
            // Exclusively: two publishers of a channel take turns.
            let Some(audience) = self.of(sort).get_mut(channel) else { return 0 };
            return audience.send(&self.post, &Frame::message(sort, channel, payload));
        }
        // A channel without subscribers is locked as well: patterns see its messages in one order.
        let entry = self.channels.entry(channel.into());
        let mut receivers = 0;
        if let Entry::Occupied(audience) = &entry {
            let frame = Frame::message(sort, channel, payload);
            receivers += audience.get().send(&self.post, &frame);
        }
        for (pattern, audience) in self.patterns.read().iter() {
            if glob::matches(pattern, channel, false) {
                let frame = Frame::pattern_message(pattern, channel, payload);
                receivers += audience.send(&self.post, &frame);
            }
        }
        receivers
    }

    /// Sends a message that belongs to no channel.
    pub fn post(&self, message: Message) {
        (self.post)(message);
    }

    /// Whether a message could reach anybody: one load and the look at one count.
    pub fn has_listeners(&self) -> bool {
        self.pattern_count.load(Ordering::Acquire) > 0 || !self.channels.is_empty()
    }

    /// Channels with subscribers, those matching `pattern` if there is one.
    pub fn active(&self, sort: Sort, pattern: Option<&[u8]>) -> Vec<Box<[u8]>> {
        let all = self.of(sort).iter().map(|entry| entry.key().clone());
        let mut names: Vec<_> =
            all.filter(|name| pattern.is_none_or(|it| glob::matches(it, name, false))).collect();
        names.sort_unstable();
        names
    }

    /// How many have subscribed to a channel.
    pub fn subscribers(&self, sort: Sort, channel: &[u8]) -> usize {
        self.of(sort).get(channel).map_or(0, |audience| audience.len())
    }

    /// Number of channels with subscribers.
    pub fn count(&self, sort: Sort) -> usize {
        if sort == Sort::Pattern { self.pattern_count.load(Ordering::Relaxed) } else { self.of(sort).len() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    fn channels() -> (Channels, Receiver<Message>) {
        let (sender, receiver) = channel();
        (Channels::new(Box::new(move |message| sender.send(message).expect("somebody reads"))), receiver)
    }

    fn seat(worker: usize, client: u64) -> Seat {
        Seat { worker, place: client as usize, client }
    }

    fn bytes(body: &Body) -> String {
        let mut out = Out::new();
        let Body::Frame(frame) = body else { unreachable!("nothing else is published") };
        frame.write(&mut out);
        String::from_utf8_lossy(out.as_slice().expect("one run")).into_owned()
    }

    #[test]
    fn a_message_goes_once_to_each_worker_that_has_subscribers() {
        let (channels, mail) = channels();
        for client in 0..6 {
            channels.subscribe(Sort::Channel, b"news", seat(client as usize % 2, client));
        }
        assert_eq!(channels.publish(Sort::Channel, b"news", b"hi"), 6);
        let sent: Vec<Message> = mail.try_iter().collect();
        assert_eq!(sent.iter().map(|it| (it.worker, it.to.len())).collect::<Vec<_>>(), [(0, 3), (1, 3)]);
        assert_eq!(bytes(&sent[0].body), "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n");
        assert_eq!(channels.publish(Sort::Channel, b"other", b"hi"), 0);
        for client in 0..6 {
            channels.unsubscribe(Sort::Channel, b"news", seat(client as usize % 2, client));
        }
        assert_eq!((channels.count(Sort::Channel), mail.try_iter().count()), (0, 0));
    }

    #[test]
    fn patterns_follow_the_channel() {
        let (channels, mail) = channels();
        channels.subscribe(Sort::Channel, b"a", seat(0, 7));
        channels.subscribe(Sort::Pattern, b"a*", seat(0, 7));
        channels.subscribe(Sort::Pattern, b"b*", seat(0, 7));
        channels.subscribe(Sort::Pattern, b"?", seat(1, 8));
        assert_eq!(channels.publish(Sort::Channel, b"a", b"x"), 3);
        let sent: Vec<Message> = mail.try_iter().collect();
        assert_eq!(sent.iter().map(|it| it.worker).collect::<Vec<_>>(), [0, 1, 0]);
        assert_eq!(bytes(&sent[0].body), "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n");
        let by_pattern = "*4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$1\r\na\r\n$1\r\nx\r\n";
        assert_eq!(bytes(&sent[2].body), by_pattern);
        assert_eq!(channels.publish(Sort::Shard, b"a", b"x"), 0);
    }

    #[test]
    fn publishers_of_one_channel_are_seen_in_one_order_by_all_workers() {
        let (channels, mail) = channels();
        (0..4).for_each(|worker| channels.subscribe(Sort::Pattern, b"*", seat(worker, worker as u64)));
        std::thread::scope(|scope| {
            for from in 0..4u8 {
                let channels = &channels;
                scope.spawn(move || {
                    for n in 0..200u8 {
                        channels.publish(Sort::Channel, b"c", &[b'a' + from, n]);
                    }
                });
            }
        });
        let mut seen: [Vec<*const Frame>; 4] = Default::default();
        let all: Vec<Message> = mail.try_iter().collect();
        for message in &all {
            let Body::Frame(frame) = &message.body else { unreachable!("nothing else is published") };
            seen[message.worker].push(Arc::as_ptr(frame));
        }
        assert_eq!(seen[0].len(), 800);
        assert!(seen.iter().all(|order| *order == seen[0]));
    }
}
