//! A feeder and workers in one process: bytes go from link to link at once, time is a counter.
use std::sync::mpsc::{channel, Receiver, Sender};

use pluralis::link::NEVER;
use pluralis::*;

use crate::support::*;

/// What events said.
#[derive(Default, Debug)]
pub struct Log {
    pub ready: usize,
    pub losses: Vec<f64>,
    pub evals: Vec<f64>,
    pub tokens: Vec<i32>,
    pub generated: usize,
    /// Those that the feeder got.
    pub receipts: Vec<Vec<u8>>,
    pub worker_receipts: usize,
    pub entries: Vec<Vec<u8>>,
    pub roots: Vec<(u64, Hash)>,
    pub worker_steps: usize,
    pub idle: usize,
    pub stopped: Vec<(u64, Hash)>,
    /// Node, status, message.
    pub failed: Vec<(usize, Status, String)>,
    /// Node, number, side and status of a neighbour that came up or was given up.
    pub peers: Vec<(usize, u64, Side, Status)>,
    pub refused: Vec<String>,
    /// Of each worker, the newest.
    pub snapshots: Vec<Vec<u8>>,
}

pub struct Pipeline {
    /// The workers in order, then the feeder.
    pub stages: Vec<Stage>,
    pub identities: Vec<Identity>,
    pub model: Model,
    pub now: u64,
    pub log: Log,
    /// Jobs run on threads of their own.
    pub threads: bool,
    /// Of those threads, how many are not back; what they send.
    out: usize,
    sender: Sender<(usize, Ran)>,
    receiver: Receiver<(usize, Ran)>,
}

pub fn key(context: &Context, number: usize) -> Identity {
    let mut seed = [9; 32];
    seed[0] = number as u8;
    Identity::new(context, &seed).unwrap()
}

/// A shard for worker `index` of `count`, with the slots it needs.
pub fn shard(context: &Context, model: &Model, index: u32, count: u32) -> Shard {
    let each = model.info().blocks / count;
    let options = ShardOptions::new().blocks(index * each..(index + 1) * each).slots(count - index);
    Shard::new(context, model, &options).unwrap()
}

impl Pipeline {
    pub fn new(context: &Context, count: u32, codec: &str) -> Pipeline {
        let model = model(context);
        let shards = (0..count).map(|i| shard(context, &model, i, count)).collect();
        Pipeline::of_shards(context, &model, shards, codec, 0)
    }

    pub fn of_shards(context: &Context, model: &Model, shards: Vec<Shard>, codec: &str, start: u64) -> Self {
        Pipeline::of(context, model, shards, codec, start, |options| options)
    }

    /// Without a flush, on shards that keep old weights.
    pub fn asynchronous(context: &Context, count: u32) -> Pipeline {
        let model = model(context);
        let each = model.info().blocks / count;
        let shards = (0..count)
            .map(|i| {
                let options = ShardOptions::new().blocks(i * each..(i + 1) * each).slots(count - i).stash(4);
                Shard::new(context, &model, &options).unwrap()
            })
            .collect();
        Pipeline::of(context, &model, shards, "raw", 0, |options| {
            options.asynchronous(8).patience_ns(1 << 30).reply_timeout_ns(NEVER)
        })
    }

    fn of(
        context: &Context,
        model: &Model,
        shards: Vec<Shard>,
        codec: &str,
        start: u64,
        set: impl Fn(StageOptions) -> StageOptions,
    ) -> Self {
        let count = shards.len() as u32;
        let codec: Codec = codec.parse().unwrap();
        let identities: Vec<Identity> = (0..=count as usize).map(|i| key(context, i)).collect();
        let mut options: Vec<StageOptions> = shards
            .into_iter()
            .zip(0..)
            .map(|(shard, i)| StageOptions::worker(ORIGIN, &identities[i as usize], i, count, shard))
            .collect();
        let feeder = &identities[count as usize];
        options.push(
            StageOptions::feeder(ORIGIN, feeder, count, model, &corpus(context))
                .start_step(start)
                .snapshot_every(2),
        );
        let stages = options
            .into_iter()
            .map(|options| Stage::new(context, &mut set(options).lane(1).codecs(codec, codec)).unwrap())
            .collect();
        let (sender, receiver) = channel();
        let mut pipeline = Pipeline {
            stages,
            identities,
            model: model.clone(),
            now: 0,
            log: Log { snapshots: vec![Vec::new(); count as usize], ..Log::default() },
            threads: false,
            out: 0,
            sender,
            receiver,
        };
        pipeline.connect(context);
        pipeline
    }

    fn connect(&mut self, context: &Context) {
        let nodes = self.stages.len();
        for node in 0..nodes {
            for side in [Side::Upstream, Side::Downstream] {
                let peer = (node + if side == Side::Downstream { 1 } else { nodes - 1 }) % nodes;
                let nonce = [(2 * node) as u8 + side as u8; 32];
                let options = LinkOptions::new(self.model.hash(), nonce);
                let mut options = options.peer_key(self.identities[peer].public_key());
                if side == Side::Downstream {
                    options = options.initiator();
                }
                let link = Link::new(context, &self.identities[node], &options).unwrap();
                self.stages[node].attach(side, link).unwrap();
            }
        }
    }

    /// Number of the feeder.
    pub fn feeder(&self) -> usize {
        self.stages.len() - 1
    }

    fn carry(&mut self, from: usize, side: Side, to: usize) -> bool {
        let other = if side == Side::Upstream { Side::Downstream } else { Side::Upstream };
        let mut buffer = vec![0; 4096];
        let mut any = false;
        loop {
            let len = self.stages[from].link(side).unwrap().transmit(self.now, &mut buffer).unwrap();
            if len == 0 {
                return any;
            }
            any = true;
            // A link that is closed, or is ended by what came, says so to its stage.
            let _ = self.stages[to].link(other).unwrap().receive(self.now, &buffer[..len]);
        }
    }

    fn complete(&mut self, node: usize, mut ran: Ran) {
        if ran.info().kind == JobKind::SNAPSHOT {
            let bytes = &mut self.log.snapshots[node];
            bytes.clear();
            ran.save(Sink::writer(bytes)).unwrap();
        }
        let _ = self.stages[node].complete(ran, self.now); // a failure is an event too
    }

    fn work(&mut self, node: usize) -> bool {
        let job = match self.stages[node].next_job() {
            Ok(Some(job)) => job,
            _ => return false,
        };
        if self.threads {
            let sender = self.sender.clone();
            self.out += 1;
            std::thread::spawn(move || sender.send((node, job.run())).unwrap());
        } else {
            self.complete(node, job.run());
        }
        true
    }

    fn turn(&mut self) -> bool {
        let nodes = self.stages.len();
        let mut any = false;
        self.now += 1_000_000;
        for node in 0..nodes {
            any |= self.carry(node, Side::Downstream, (node + 1) % nodes);
            any |= self.carry(node, Side::Upstream, (node + nodes - 1) % nodes);
        }
        for node in 0..nodes {
            for side in [Side::Upstream, Side::Downstream] {
                let mut link = self.stages[node].link(side).unwrap();
                if link.next_deadline_ns() <= self.now {
                    let _ = link.advance(self.now);
                }
            }
            let _ = self.stages[node].advance(self.now);
            let feeder = node == nodes - 1;
            while let Some(event) = self.stages[node].next_event() {
                self.log.take(node, feeder, event);
                any = true;
            }
            any |= self.work(node);
        }
        while let Ok((node, ran)) = self.receiver.try_recv() {
            self.out -= 1;
            self.complete(node, ran);
            any = true;
        }
        any
    }

    /// Until nothing happens any more, for so long that every acknowledgement has gone out.
    pub fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 60 {
            quiet = if self.turn() { 0 } else { quiet + 1 };
            if quiet > 0 && self.out > 0 {
                let (node, ran) = self.receiver.recv().unwrap();
                self.out -= 1;
                self.complete(node, ran);
                quiet = 0;
            }
        }
    }

    /// Gives the feeder a command and waits until it is idle again.
    #[track_caller]
    pub fn command(&mut self, command: impl FnOnce(&mut Stage) -> Result<()>) {
        let idle = self.log.idle;
        let feeder = self.feeder();
        command(&mut self.stages[feeder]).unwrap();
        self.settle();
        assert_eq!(self.log.failed, []);
        assert_eq!(self.log.idle, idle + 1);
    }

    pub fn stop(&mut self) {
        let feeder = self.feeder();
        self.stages[feeder].stop().unwrap();
        self.settle();
        assert_eq!(self.log.stopped.len(), self.stages.len(), "{:?}", self.log.failed);
    }
}

impl Log {
    fn take(&mut self, node: usize, feeder: bool, event: StageEvent<'_>) {
        match event {
            StageEvent::Ready => self.ready += 1,
            StageEvent::Step { loss, .. } if feeder => self.losses.push(loss),
            StageEvent::Step { .. } => self.worker_steps += 1,
            StageEvent::Eval { loss, .. } => self.evals.push(loss),
            StageEvent::Token { index, token } => {
                assert_eq!(index, self.tokens.len() as u64);
                self.tokens.push(token);
            }
            StageEvent::Generated => self.generated += 1,
            StageEvent::Receipt { entry, .. } if feeder => self.receipts.push(entry.to_vec()),
            StageEvent::Receipt { .. } => self.worker_receipts += 1,
            StageEvent::Entry(entry) => self.entries.push(entry.to_vec()),
            StageEvent::Root { steps, root } if feeder => self.roots.push((steps, root)),
            StageEvent::Root { .. } => (),
            StageEvent::Stopped { steps, root } => self.stopped.push((steps, root)),
            StageEvent::Failed { status, message } => self.failed.push((node, status, message.into())),
            StageEvent::Refused { message, .. } => self.refused.push(message.into()),
            StageEvent::Idle => self.idle += 1,
            StageEvent::Peer { peer, side, status, .. } => self.peers.push((node, peer, side, status)),
            other => panic!("an unknown event: {other:?}"),
        }
    }
}
