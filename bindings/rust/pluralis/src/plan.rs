//! Placement: which device holds which blocks, and the throughput to expect.
use std::borrow::Cow;
use std::ffi::CStr;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::error::{call, Result};
use crate::ffi::{codes, create, defaults, record, setters, sized, u32_len, FromC};
use crate::{sys, Context, Model};

codes! {
    /// How micro-batches flow.
    Flow {
        /// With a flush after each step (1F1B).
        SYNC = PLR_PLAN_SYNC,
        /// Without.
        ASYNC = PLR_PLAN_ASYNC,
    }
}

codes! {
    /// What holds a stage back.
    Bound {
        /// Its devices' speed.
        COMPUTE = PLR_PLAN_BOUND_COMPUTE,
        /// What its devices can send.
        UP = PLR_PLAN_BOUND_UP,
        /// What they can receive.
        DOWN = PLR_PLAN_BOUND_DOWN,
        /// Micro-batches that fit.
        MEMORY = PLR_PLAN_BOUND_MEMORY,
    }
}

/// A machine that offers itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Device {
    /// Floating-point operations a second that it sustains in training.
    pub flops: f64,
    /// Bytes it gives.
    pub memory: u64,
    /// Bits a second that its network sends; 0: no limit.
    pub up_bps: u64,
    /// Bits a second that its network receives; 0: no limit.
    pub down_bps: u64,
    /// Nanoseconds to the middle of the network.
    pub delay_ns: u64,
}

/// A path between two devices that is not what their networks promise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanPath {
    /// Device that sends.
    pub from: u32,
    /// Device that receives.
    pub to: u32,
    /// Bits a second; 0: what their networks give.
    pub bps: u64,
    /// One way.
    pub delay_ns: u64,
}

/// What is wanted.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    raw: sys::plr_plan_options,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl PlanOptions {
    /// The defaults: asynchronous, at the model's cuts, as many stages and replicas as pay.
    pub fn new() -> Self {
        // Safety: the `_init` function of these options.
        PlanOptions { raw: unsafe { defaults(|o, size| sys::plr_plan_options_init(o, size)) } }
    }

    setters! {
        /// Stages at least. Default 1.
        min_stages: u32,
        /// Stages at most; 0, the default: as many as there are cuts.
        max_stages: u32,
        /// Of a stage; 0, the default: no limit.
        max_replicas: u32,
        /// 1: a stage may begin at any block. Default 0.
        free_cuts: u32,
        /// Weights a stage keeps. Default 1.
        versions: u32,
        /// Of the search; 0, the default, is 24.
        restarts: u32,
        /// A value of a boundary tensor takes at least. Default 2.5.
        min_bits: f64,
        /// And at most. Default 8.
        max_bits: f64,
        /// Of the search. Default 0.
        seed: u64,
    }

    /// How micro-batches flow. Default [`Flow::ASYNC`].
    #[must_use]
    pub fn flow(mut self, flow: Flow) -> Self {
        self.raw.flow = flow.0;
        self
    }
}

record! {
    /// A plan as a whole.
    PlanInfo from plr_plan_info {
        /// Of the plan.
        stages: u32,
        /// That it uses.
        devices: u32,
        /// 1: every placement was looked at.
        exact: u32,
        /// The stage that sets the pace.
        slowest: u32,
        /// What holds that stage back.
        bound: Bound,
        /// Predicted, training.
        tokens_per_s: f64,
        /// The same in micro-batches of the model.
        micro_batches_per_s: f64,
        /// Of the best even split; 0: none fits.
        even_tokens_per_s: f64,
        /// Seconds of one micro-batch, forward and back, through an idle pipeline.
        latency_s: f64,
    }
}

record! {
    /// A stage of a plan.
    PlanStage from plr_plan_stage {
        /// Its first block.
        first_block: u32,
        /// The block after its last.
        end_block: u32,
        /// Replicas.
        devices: u32,
        /// What holds it back.
        bound: Bound,
        /// Micro-batches a replica has under way at most.
        in_flight: u32,
        /// Of all replicas together.
        tokens_per_s: f64,
        /// Part of the time they compute.
        busy: f64,
        /// Bytes a replica needs.
        memory: u64,
        /// Budget of a micro-batch's activations; 0: the last stage.
        forward_bytes: u64,
        /// Budget of a micro-batch's gradients; 0: the first stage.
        backward_bytes: u64,
        /// Bits a value of the activations.
        forward_bits: f64,
        /// Bits a value of the gradients.
        backward_bits: f64,
    }
}

/// The best placement that was found: immutable, cheap to clone, shared by threads.
#[derive(Clone)]
pub struct Plan(Arc<Inner>);

struct Inner {
    ptr: NonNull<sys::plr_plan>,
    _context: Context,
}

// Safety: <pluralis/plan.h>: immutable, with const functions only.
unsafe impl Send for Inner {}
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        // Safety: no clone is left.
        unsafe { sys::plr_plan_destroy(self.ptr.as_ptr()) }
    }
}

impl Plan {
    /// Places a model on devices. `NOT_FOUND` when nothing fits, with what is short; `INVALID_ARGUMENT`, `LIMIT`.
    pub fn new(
        context: &Context,
        model: &Model,
        devices: &[Device],
        paths: &[PlanPath],
        options: &PlanOptions,
    ) -> Result<Plan> {
        let devices: Vec<_> = devices
            .iter()
            .map(|d| sys::plr_plan_device {
                flops: d.flops,
                memory: d.memory,
                up_bps: d.up_bps,
                down_bps: d.down_bps,
                delay_ns: d.delay_ns,
                reserved: 0,
            })
            .collect();
        let paths: Vec<_> = paths
            .iter()
            .map(|p| sys::plr_plan_path { from: p.from, to: p.to, bps: p.bps, delay_ns: p.delay_ns })
            .collect();
        let mut raw = options.raw;
        raw.device_count = u32_len("plan options.devices", devices.len())?;
        raw.devices = devices.as_ptr();
        raw.path_count = u32_len("plan options.paths", paths.len())?;
        raw.paths = paths.as_ptr();
        // Safety: a live context and model; options and arrays live during the call.
        let ptr = create(|out, err| unsafe {
            sys::plr_plan_create(context.as_ptr(), model.as_ptr(), &raw, out, err)
        })?;
        Ok(Plan(Arc::new(Inner { ptr, _context: context.clone() })))
    }

    fn as_ptr(&self) -> *const sys::plr_plan {
        self.0.ptr.as_ptr()
    }

    /// The plan as a whole.
    pub fn info(&self) -> Result<PlanInfo> {
        // Safety: a struct with a struct_size.
        let mut info: sys::plr_plan_info = unsafe { sized() };
        // Safety: a live plan; `info` is written.
        call(|_| unsafe { sys::plr_plan_get_info(self.as_ptr(), &mut info) })?;
        Ok(PlanInfo::from_c(info))
    }

    /// A stage. `INVALID_ARGUMENT` when there is none of this number.
    pub fn stage(&self, index: u32) -> Result<PlanStage> {
        // Safety: a struct with a struct_size.
        let mut stage: sys::plr_plan_stage = unsafe { sized() };
        // Safety: a live plan; `stage` is written.
        call(|_| unsafe { sys::plr_plan_get_stage(self.as_ptr(), index, &mut stage) })?;
        Ok(PlanStage::from_c(stage))
    }

    /// Devices of a stage, ascending.
    pub fn stage_devices(&self, stage: u32) -> Vec<u32> {
        (0..)
            // Safety: a live plan.
            .map(|i| unsafe { sys::plr_plan_stage_device(self.as_ptr(), stage, i) })
            .take_while(|&device| device != sys::PLR_PLAN_NONE)
            .collect()
    }

    /// Stage of a device; `None` when it has none.
    pub fn device_stage(&self, device: u32) -> Option<u32> {
        // Safety: a live plan.
        let stage = unsafe { sys::plr_plan_device_stage(self.as_ptr(), device) };
        (stage != sys::PLR_PLAN_NONE).then_some(stage)
    }

    /// The plan and its reasons in words.
    pub fn text(&self) -> Cow<'_, str> {
        // Safety: a text that lives as long as the plan.
        unsafe { CStr::from_ptr(sys::plr_plan_text(self.as_ptr())) }.to_string_lossy()
    }

    /// The same as a JSON object.
    pub fn json(&self) -> Cow<'_, str> {
        // Safety: a text that lives as long as the plan.
        unsafe { CStr::from_ptr(sys::plr_plan_json(self.as_ptr())) }.to_string_lossy()
    }
}
