//! A stage drives one shard between its links: frames and time in; frames, jobs, events and receipts
//! out.
//!
//! The pipeline is a ring. A feeder is upstream of stage 0 and downstream of the last stage. The loop of
//! a host, for each stage:
//!
//! ```no_run
//! # use pluralis::{Side, Stage};
//! # fn turn(stage: &mut Stage, now: u64, came: &[u8], out: &mut [u8]) -> pluralis::Result<()> {
//! stage.link(Side::Upstream).unwrap().receive(now, came)?; // and advance, at its deadlines
//! stage.advance(now)?;
//! while let Some(job) = stage.next_job()? {
//!     let ran = job.run(); // here, or on any other thread
//!     stage.complete(ran, now)?;
//! }
//! while let Some(event) = stage.next_event() {
//!     println!("{event:?}");
//! }
//! let len = stage.link(Side::Upstream).unwrap().transmit(now, out)?;
//! # Ok(()) }
//! ```
//!
//! A [`Job`] is owned and keeps what it computes with alive, so it can go to any thread and outlive the
//! [`Stage`]; the loop goes on beside it.
use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::ptr::{null_mut, NonNull};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{check, Error, Result, Status};
use crate::exchange::Codec;
use crate::ffi::{c_text, codes, create, defaults, record, setters, sized, u32_len, FromC};
use crate::io::Sink;
use crate::link::{bytes, text, LinkIo};
use crate::shard::Sampling;
use crate::{sys, Context, Corpus, Hash, Identity, Link, Model, Shard};

/// Which neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where activations come from.
    Upstream,
    /// Where activations go to.
    Downstream,
}

/// What a [`Stage`] is made with.
pub struct StageOptions {
    raw: sys::plr_stage_options,
    origin: String,
    identity: Identity,
    model: Model,
    shard: Option<Shard>,
    corpus: Option<Corpus>,
}

// Safety: `raw` points to nothing: pointers are set in a copy, when the stage is made.
unsafe impl Send for StageOptions {}

impl StageOptions {
    /// A worker: number `index` of `count` in the pipeline. `origin`: name of the ledger, a part of what
    /// receipts sign. The shard needs as many slots as micro-batches may be in flight: `count - index`.
    pub fn worker(
        origin: impl Into<String>,
        identity: &Identity,
        index: u32,
        count: u32,
        shard: Shard,
    ) -> Self {
        let model = shard.model().clone();
        let mut options = StageOptions::common(origin.into(), identity, model, count);
        options.raw.role = sys::PLR_STAGE_WORKER;
        options.raw.index = index;
        options.shard = Some(shard);
        options
    }

    /// The feeder of a pipeline of `count` stages.
    pub fn feeder(
        origin: impl Into<String>,
        identity: &Identity,
        count: u32,
        model: &Model,
        corpus: &Corpus,
    ) -> Self {
        let mut options = StageOptions::common(origin.into(), identity, model.clone(), count);
        options.raw.role = sys::PLR_STAGE_FEEDER;
        options.corpus = Some(corpus.clone());
        options
    }

    fn common(origin: String, identity: &Identity, model: Model, count: u32) -> Self {
        // Safety: the `_init` function of these options.
        let mut raw = unsafe { defaults(|o, size| sys::plr_stage_options_init(o, size)) };
        raw.count = count;
        StageOptions { raw, origin, identity: identity.clone(), model, shard: None, corpus: None }
    }

    setters! {
        /// Feeder: steps between snapshot jobs; 0, the default, is only at start and stop.
        snapshot_every: u32,
        /// Replica number in receipts, the same on all stages and the feeder; default 0.
        lane: u32,
        /// Feeder: ledger epoch that receipts are written for; default 0.
        epoch: u64,
        /// Feeder: first step to feed; default 0. A worker takes it from its shard.
        start_step: u64,
        /// Worker: forwards it may be ahead of its backwards; default: `count - index`.
        max_in_flight: u32,
        /// Asynchronous: steps during which the learning rate is lower because of delays.
        delay_horizon: u64,
        /// Asynchronous: how long to go on without a neighbour on one side; default 0.
        patience_ns: u64,
        /// Asynchronous: a neighbour that answers nothing for so long is given up; default 0: never.
        reply_timeout_ns: u64,
    }

    /// No flush at each step; `window` micro-batches under way in the whole pipeline, the same on all
    /// stages and the feeder. The shard must allow delays.
    #[must_use]
    pub fn asynchronous(mut self, window: u32) -> Self {
        self.raw.schedule = sys::PLR_PIPELINE_ASYNC;
        self.raw.window = window;
        self
    }

    /// Codecs of activations and of gradients; the default of both is raw fp32.
    #[must_use]
    pub fn codecs(mut self, forward: Codec, backward: Codec) -> Self {
        self.raw.forward_codec = forward.to_c();
        self.raw.backward_codec = backward.to_c();
        self
    }

    /// Bits of training frames follow the bandwidth of the links; for codecs whose rate can be set.
    #[must_use]
    pub fn auto_budget(mut self) -> Self {
        self.raw.auto_budget = 1;
        self
    }

    /// The shard, when no stage has been made of it.
    pub fn into_shard(self) -> Option<Shard> {
        self.shard
    }
}

/// What a job works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobInfo {
    /// What it does.
    pub kind: JobKind,
    /// Training step, counted from 0.
    pub step: u64,
    /// Micro-batch in the step.
    pub micro_batch: u32,
}

codes! {
    /// What a job does.
    JobKind {
        /// Forward of a micro-batch.
        FORWARD = PLR_JOB_FORWARD,
        /// Backward of a micro-batch.
        BACKWARD = PLR_JOB_BACKWARD,
        /// The optimizer.
        STEP = PLR_JOB_STEP,
        /// Evaluation and generation.
        INFER = PLR_JOB_INFER,
        /// Leaf hashes; the host saves the shard as well, see [`Ran::save`].
        SNAPSHOT = PLR_JOB_SNAPSHOT,
    }
}

/// What happened in a stage. `steps` counts steps done; `step` is the number of a step, from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum StageEvent<'a> {
    /// Both links are up.
    Ready,
    /// A step is done. `loss`: a feeder's, the mean training loss in nats a token; else 0.
    #[allow(missing_docs)]
    Step { steps: u64, loss: f64 },
    /// Feeder: `loss` is the mean validation loss in nats a token over `batches` micro-batches.
    #[allow(missing_docs)]
    Eval { steps: u64, batches: u64, loss: f64 },
    /// Feeder: a generated token; `index` counts from 0.
    #[allow(missing_docs)]
    Token { index: u64, token: i32 },
    /// Feeder: generation is complete.
    Generated,
    /// A receipt with all three signatures, a ledger entry. Worker: its own; feeder: anyone's.
    #[allow(missing_docs)]
    Receipt { step: u64, micro_batch: u64, entry: &'a [u8] },
    /// Feeder: a ledger entry that a worker submitted.
    Entry(&'a [u8]),
    /// Feeder: weight root of the whole model; worker: Merkle root of its own leaves.
    #[allow(missing_docs)]
    Root { steps: u64, root: Hash },
    /// Stopped after a snapshot; `root` is a feeder's weight root. Nothing more will come; work the
    /// links until their queues are empty before closing them.
    #[allow(missing_docs)]
    Stopped { steps: u64, root: Hash },
    /// A link or a peer failed. Work the links once more: they carry word of it to the others.
    #[allow(missing_docs)]
    Failed { status: Status, message: &'a str },
    /// A receipt was refused by a neighbour, or here; training goes on.
    #[allow(missing_docs)]
    Refused { step: u64, micro_batch: u64, message: &'a str },
    /// Feeder: the command is finished, the pipeline empty: the next may be given.
    Idle,
    /// A neighbour is up, or was given up and why; `peer` counts links in the order of attach, from 1.
    #[allow(missing_docs)]
    Peer { peer: u64, side: Side, status: Status, account: Hash, message: &'a str },
    /// Feeder: a micro-batch that no stage could compute is left out.
    #[allow(missing_docs)]
    Dropped { step: u64, micro_batch: u64, status: Status, message: &'a str },
    /// One that this crate does not know.
    Other(u32),
}

record! {
    /// What a stage has done.
    StageStats from plr_stage_stats {
        /// Steps.
        steps: u64,
        /// Micro-batches.
        forwards: u64,
        /// Micro-batches.
        backwards: u64,
        /// Receipts counter-signed by both sides.
        receipts: u64,
        /// Proposals of neighbours that did not match what this stage saw.
        receipts_refused: u64,
        /// Dense bf16 equivalent of the tensors sent, in bytes.
        raw_bytes: u64,
        /// Bytes of all frames sent.
        sent_bytes: u64,
        /// Records written to the journal.
        journal_records: u64,
        /// Records dropped from it before they were read.
        journal_dropped: u64,
        /// Bytes allowed for the newest activation frame, with `auto_budget`; 0: none.
        forward_budget: u64,
        /// The same of gradients.
        backward_budget: u64,
        /// Steps between forward and backward, summed over backwards.
        delays: u64,
        /// The largest of them.
        max_delay: u64,
        /// Micro-batches sent again.
        resent: u64,
        /// Micro-batches that came again, and were counted once.
        duplicates: u64,
        /// Neighbours given up.
        peers_lost: u64,
    }
}

/// One node of a pipeline. Used by one thread at a time, with its links; jobs run on any.
pub struct Stage {
    core: Arc<Core>,
    /// Not `Sync`: a `&Stage` reads what calls of a `Stage` change beside it.
    one_thread: PhantomData<Cell<()>>,
}

/// The C stage and all that it borrows, in the order in which they must end.
struct Core {
    ptr: NonNull<sys::plr_stage>,
    /// Belongs to the job that is out, else to the `Stage`.
    shard: UnsafeCell<Option<Shard>>,
    /// Belong to the `Stage`.
    links: UnsafeCell<Vec<(Side, Link)>>,
    job: Mutex<Place>,
    _identity: Identity,
    _corpus: Option<Corpus>,
    _model: Model,
    _context: Context,
}

/// Where the stage's one job is.
#[derive(Clone, Copy)]
enum Place {
    /// There is none.
    None,
    /// In a `Job` or a `Ran`.
    Out,
    /// Dropped without having been completed; its status if it has run.
    Back(NonNull<sys::plr_job>, Option<sys::plr_status>),
}

// Safety: <pluralis/stage.h>: a stage and its links belong to one thread at a time, which is the one that
// has the `Stage`; plr_job_run may run beside it, and is all that a `Job` does. Either may be the last
// to hold the `Core`, and then nobody uses it any more.
unsafe impl Send for Core {}
unsafe impl Sync for Core {}

impl Drop for Core {
    fn drop(&mut self) {
        // Safety: no job is running, since a running job holds the `Core`. What the stage borrows is
        // dropped after this.
        unsafe { sys::plr_stage_destroy(self.ptr.as_ptr()) }
    }
}

impl Core {
    fn place(&self) -> MutexGuard<'_, Place> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage {
    /// Makes a stage with everything it will need. On failure the shard stays in the options.
    /// `INVALID_ARGUMENT` (blocks that cannot be those of this stage, too few slots), `LIMIT`.
    pub fn new(context: &Context, options: &mut StageOptions) -> Result<Stage> {
        let mut raw = options.raw;
        let origin = c_text("stage options.origin", &options.origin)?;
        raw.origin = origin.as_ptr();
        raw.identity = options.identity.as_ptr();
        raw.model = options.model.as_ptr();
        raw.shard = options.shard.as_ref().map_or(null_mut(), Shard::as_ptr);
        if let Some(corpus) = &options.corpus {
            raw.corpus = corpus.as_ptr();
        }
        // Safety: live handles, which go into the `Core`; the origin is copied. A worker's model is that
        // of its shard.
        let ptr = create(|out, err| unsafe { sys::plr_stage_create(context.as_ptr(), &raw, out, err) })?;
        let core = Core {
            ptr,
            shard: UnsafeCell::new(options.shard.take()),
            links: UnsafeCell::new(Vec::new()),
            job: Mutex::new(Place::None),
            _identity: options.identity.clone(),
            _corpus: options.corpus.clone(),
            _model: options.model.clone(),
            _context: context.clone(),
        };
        Ok(Stage { core: Arc::new(core), one_thread: PhantomData })
    }

    #[inline]
    fn ptr(&self) -> *mut sys::plr_stage {
        self.core.ptr.as_ptr()
    }

    /// Gives the stage a link, until it is detached. Both sides must be attached before anything moves.
    /// The feeder's downstream is stage 0, its upstream the last stage. An asynchronous stage may have
    /// several on each side. `INVALID_STATE`: there is one already; `LIMIT`.
    pub fn attach(&mut self, side: Side, link: Link) -> Result<()> {
        let c_side = match side {
            Side::Upstream => sys::PLR_SIDE_UPSTREAM,
            Side::Downstream => sys::PLR_SIDE_DOWNSTREAM,
        };
        // Safety: live handles; the link goes where it lives as long as the stage.
        unsafe {
            check(sys::plr_stage_attach(self.ptr(), c_side, link.as_ptr()))?;
            (*self.core.links.get()).push((side, link));
        }
        Ok(())
    }

    /// Takes link `n` of a side back, as if its neighbour had failed; those behind it move up by one.
    /// `None`: there is none.
    pub fn detach(&mut self, side: Side, n: usize) -> Option<Link> {
        // Safety: as in `link`.
        let links = unsafe { &mut *self.core.links.get() };
        let at = links.iter().enumerate().filter(|(_, l)| l.0 == side).nth(n)?.0;
        let link = links.remove(at).1;
        // Safety: live handles. A link that the stage has given up before is not found, and free as well.
        unsafe { sys::plr_stage_detach(self.ptr(), link.as_ptr()) };
        Some(link)
    }

    /// The first link's side towards the byte stream, `None` before it is attached.
    #[inline]
    pub fn link(&mut self, side: Side) -> Option<LinkIo<'_>> {
        self.link_at(side, 0)
    }

    /// The same of link `n` of that side, in the order of attach.
    #[inline]
    pub fn link_at(&mut self, side: Side, n: usize) -> Option<LinkIo<'_>> {
        // Safety: links are used by whoever has the `Stage`, which is borrowed for as long. `LinkIo`
        // does not let go of the `Link`.
        let links = unsafe { &mut *self.core.links.get() };
        links.iter_mut().filter(|l| l.0 == side).nth(n).map(|l| LinkIo(&mut l.1))
    }

    /// Takes in what the links have received and moves everything that can move: to be called after
    /// bytes were received or transmitted, and after a link was advanced or closed. An error is the
    /// status that the stage failed with, also seen once as [`StageEvent::Failed`].
    #[inline]
    pub fn advance(&mut self, now_ns: u64) -> Result<()> {
        // Safety: a live stage.
        check(unsafe { sys::plr_stage_advance(self.ptr(), now_ns) })
    }

    /// When [`Stage::advance`] is due without any other reason, or [`crate::link::NEVER`].
    #[inline]
    pub fn next_deadline_ns(&self) -> u64 {
        // Safety: a live stage.
        unsafe { sys::plr_stage_next_deadline_ns(self.ptr()) }
    }

    /// The next job, `None` when nothing can run now. One job is out at a time; one that was dropped is
    /// handed out again.
    pub fn next_job(&mut self) -> Result<Option<Job>> {
        let mut place = self.core.place();
        let (ptr, status) = match *place {
            Place::Back(ptr, status) => (ptr, status),
            Place::Out => return Ok(None),
            Place::None => {
                let mut out = null_mut();
                // Safety: a live stage.
                let status = unsafe { sys::plr_stage_next_job(self.ptr(), &mut out) };
                match NonNull::new(out) {
                    Some(ptr) if status == sys::PLR_OK => (ptr, None),
                    _ if status == sys::PLR_ERR_AGAIN => return Ok(None),
                    _ => return Err(Status(status).into()),
                }
            }
        };
        *place = Place::Out;
        let core = self.core.clone();
        Ok(Some(Job(Lease { core, ptr, status })))
    }

    /// Takes back a job that has run; frames go out at the next transmit. An error is the status that the
    /// stage failed with. `INVALID_ARGUMENT`: the job is another stage's.
    pub fn complete(&mut self, ran: Ran, now_ns: u64) -> Result<()> {
        if !Arc::ptr_eq(&self.core, &ran.0.core) {
            let text = "the job is of another stage";
            return Err(Error::new(Status::INVALID_ARGUMENT, "stage", text));
        }
        let job = ran.0.ptr.as_ptr();
        drop(ran);
        *self.core.place() = Place::None;
        // Safety: the job that is out, which nobody else has any more.
        check(unsafe { sys::plr_stage_complete(self.ptr(), job, now_ns) })
    }

    /// The next event, `None` when there is none now. To be read until then: nothing is taken from the
    /// links while events wait.
    #[inline]
    pub fn next_event(&mut self) -> Option<StageEvent<'_>> {
        // Safety: a struct with a struct_size; a live stage. What the event points to is valid until the
        // next call that is not const, which needs this borrow back.
        let mut event: sys::plr_stage_event = unsafe { sized() };
        let status = unsafe { sys::plr_stage_next_event(self.ptr(), &mut event) };
        (status == sys::PLR_OK).then(|| unsafe { event_of(&event) })
    }

    /// Feeder: feeds training steps until `until_step` are done. Commands may be given before the stage
    /// is ready; they run one at a time (`AGAIN` while another runs) and end with
    /// [`StageEvent::Idle`].
    pub fn train(&mut self, until_step: u64) -> Result<()> {
        // Safety: a live stage.
        check(unsafe { sys::plr_stage_train(self.ptr(), until_step) })
    }

    /// Feeder: runs `batches` >= 1 validation micro-batches, then [`StageEvent::Eval`].
    pub fn evaluate(&mut self, batches: u32) -> Result<()> {
        // Safety: a live stage.
        check(unsafe { sys::plr_stage_evaluate(self.ptr(), batches) })
    }

    /// Feeder: continues `prompt` (1 to seq_len tokens) by `count` tokens.
    pub fn generate(&mut self, prompt: &[i32], count: u32, how: Sampling) -> Result<()> {
        let len = u32_len("stage.prompt", prompt.len())?;
        let (temperature, top_k, seed) = (how.temperature, how.top_k, how.seed);
        // Safety: a live stage; the prompt is copied.
        check(unsafe {
            let prompt = prompt.as_ptr();
            sys::plr_stage_generate(self.ptr(), prompt, len, count, temperature, top_k, seed)
        })
    }

    /// Feeder: ends the running command, takes a snapshot on all stages if there was training, then
    /// [`StageEvent::Stopped`] everywhere.
    pub fn stop(&mut self) -> Result<()> {
        // Safety: a live stage.
        check(unsafe { sys::plr_stage_stop(self.ptr()) })
    }

    /// Worker: sends a ledger entry downstream to the feeder. `AGAIN`: the queue is full.
    pub fn submit(&mut self, entry: &[u8]) -> Result<()> {
        // Safety: a live stage; the entry is copied.
        check(unsafe { sys::plr_stage_submit(self.ptr(), entry.as_ptr().cast(), entry.len()) })
    }

    /// Feeder: epoch written into receipts of the steps not yet begun; the workers are told.
    pub fn set_epoch(&mut self, epoch: u64) -> Result<()> {
        // Safety: a live stage.
        check(unsafe { sys::plr_stage_set_epoch(self.ptr(), epoch) })
    }

    /// Takes whole records of 64 bytes (`lib/stage/JOURNAL.md`) off the journal, as many as fit; returns
    /// their bytes, 0 when there are none. `BUFFER_TOO_SMALL` when not even one fits.
    pub fn read_journal(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut len = 0;
        // Safety: a live stage; at most the buffer is written.
        let status = unsafe {
            let (out, cap) = (buffer.as_mut_ptr().cast(), buffer.len());
            sys::plr_stage_read_journal(self.ptr(), out, cap, &mut len)
        };
        match status {
            sys::PLR_ERR_AGAIN => Ok(0),
            status => check(status).map(|()| len),
        }
    }

    /// What the stage has done.
    pub fn stats(&self) -> StageStats {
        // Safety: a struct with a struct_size; a live stage.
        let mut stats: sys::plr_stage_stats = unsafe { sized() };
        unsafe { sys::plr_stage_get_stats(self.ptr(), &mut stats) };
        StageStats::from_c(stats)
    }

    /// Ends the stage and gives a worker's shard back; or gives the stage back, when it is a feeder or a
    /// job is out.
    pub fn into_shard(self) -> std::result::Result<Shard, Stage> {
        let one_thread = self.one_thread;
        let back = |core| Stage { core, one_thread };
        let mut core = Arc::try_unwrap(self.core).map_err(back)?;
        match core.shard.get_mut().take() {
            Some(shard) => Ok(shard),
            None => Err(back(Arc::new(core))),
        }
    }
}

/// Safety: an event that the library filled, which is valid as long as `'a`.
unsafe fn event_of<'a>(event: &sys::plr_stage_event) -> StageEvent<'a> {
    let (step, index) = (event.step, event.index);
    match event.type_ {
        sys::PLR_STAGE_READY => StageEvent::Ready,
        sys::PLR_STAGE_STEP => StageEvent::Step { steps: step, loss: event.value },
        sys::PLR_STAGE_EVAL => StageEvent::Eval { steps: step, batches: index, loss: event.value },
        sys::PLR_STAGE_TOKEN => StageEvent::Token { index, token: event.token },
        sys::PLR_STAGE_GENERATED => StageEvent::Generated,
        sys::PLR_STAGE_RECEIPT => {
            StageEvent::Receipt { step, micro_batch: index, entry: bytes(event.data, event.len) }
        }
        sys::PLR_STAGE_ENTRY => StageEvent::Entry(bytes(event.data, event.len)),
        sys::PLR_STAGE_ROOT => StageEvent::Root { steps: step, root: Hash::from_c(event.hash) },
        sys::PLR_STAGE_STOPPED => StageEvent::Stopped { steps: step, root: Hash::from_c(event.hash) },
        sys::PLR_STAGE_FAILED => {
            StageEvent::Failed { status: Status(event.status), message: text(event.message) }
        }
        sys::PLR_STAGE_REFUSED => {
            StageEvent::Refused { step, micro_batch: index, message: text(event.message) }
        }
        sys::PLR_STAGE_IDLE => StageEvent::Idle,
        sys::PLR_STAGE_PEER => StageEvent::Peer {
            peer: index,
            side: if event.token == sys::PLR_SIDE_UPSTREAM as i32 {
                Side::Upstream
            } else {
                Side::Downstream
            },
            status: Status(event.status),
            account: Hash::from_c(event.hash),
            message: text(event.message),
        },
        sys::PLR_STAGE_DROPPED => StageEvent::Dropped {
            step,
            micro_batch: index,
            status: Status(event.status),
            message: text(event.message),
        },
        other => StageEvent::Other(other),
    }
}

/// The stage's one job, in whose hands the shard is.
struct Lease {
    core: Arc<Core>,
    ptr: NonNull<sys::plr_job>,
    /// `None` until it has run.
    status: Option<sys::plr_status>,
}

// Safety: plr_job_run runs on any thread, beside its stage.
unsafe impl Send for Lease {}

impl Drop for Lease {
    fn drop(&mut self) {
        *self.core.place() = Place::Back(self.ptr, self.status);
    }
}

/// Work of a stage, for any thread.
#[must_use = "the stage has no other job until this one is completed"]
pub struct Job(Lease);

impl Job {
    /// What it works on.
    pub fn info(&self) -> JobInfo {
        self.0.info()
    }

    /// Computes. What it came to goes back to [`Stage::complete`], also when it failed.
    pub fn run(mut self) -> Ran {
        if self.0.status.is_none() {
            // Safety: the one job that is out; only this has it, and the stage does not touch its shard.
            self.0.status = Some(unsafe { sys::plr_job_run(self.0.ptr.as_ptr()) });
        }
        Ran(self.0)
    }
}

/// A job that has run.
#[must_use = "Stage::complete takes it"]
pub struct Ran(Lease);

impl Ran {
    /// What it worked on.
    pub fn info(&self) -> JobInfo {
        self.0.info()
    }

    /// Whether it worked. [`Stage::complete`] acts on that by itself.
    pub fn result(&self) -> Result<()> {
        check(self.0.status.unwrap_or(sys::PLR_ERR_INVALID_STATE))
    }

    /// Saves the stage's shard: for jobs of kind [`JobKind::SNAPSHOT`], before they are completed.
    pub fn save(&mut self, sink: Sink<'_>) -> Result<()> {
        // Safety: the shard is in the hands of the job that is out, which is borrowed for as long.
        match unsafe { &mut *self.0.core.shard.get() } {
            Some(shard) => shard.save(sink),
            None => Err(Status::INVALID_STATE.into()),
        }
    }
}

impl Lease {
    fn info(&self) -> JobInfo {
        // Safety: a struct with a struct_size; the job that is out.
        let mut raw: sys::plr_job_info = unsafe { sized() };
        unsafe { sys::plr_job_get_info(self.ptr.as_ptr(), &mut raw) };
        JobInfo { kind: JobKind(raw.kind), step: raw.step, micro_batch: raw.micro_batch }
    }
}
