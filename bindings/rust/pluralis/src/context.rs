//! The context: through it a host lends the library memory, threads, a log and limits.
use std::alloc::Layout;
use std::marker::PhantomData;
use std::os::raw::{c_char, c_void};
use std::ptr::{null_mut, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use crate::error::{Error, Result, Status};
use crate::ffi::{codes, create, defaults, guarded, setters};
use crate::sys;

codes! {
    /// How much a log line matters; the first is the most.
    Level {
        /// Something failed.
        ERROR = PLR_LOG_ERROR,
        /// Something is odd.
        WARN = PLR_LOG_WARN,
        /// What happens.
        INFO = PLR_LOG_INFO,
        /// In detail.
        DEBUG = PLR_LOG_DEBUG,
    }
}

codes! {
    /// An instruction set. All give the same bits.
    Isa {
        /// Plain C.
        PORTABLE = PLR_ISA_PORTABLE,
        /// AVX2 with FMA.
        AVX2 = PLR_ISA_AVX2,
        /// AVX-512 F, BW, DQ and VL.
        AVX512 = PLR_ISA_AVX512,
        /// NEON of aarch64.
        NEON = PLR_ISA_NEON,
        /// The best that the machine has.
        BEST = PLR_ISA_BEST,
    }
}

type Logger = Box<dyn Fn(Level, &str, &str) + Send + Sync>;
type Executor = Box<dyn Fn(&Tasks<'_>) + Send + Sync>;

/// What a [`Context`] is made with. Unset options are the library's defaults.
pub struct ContextOptions {
    raw: sys::plr_context_options,
    logger: Option<Logger>,
    executor: Option<Executor>,
}

// Safety: `raw` points to nothing: callbacks are set in a copy, when the context is made.
unsafe impl Send for ContextOptions {}

impl Default for ContextOptions {
    fn default() -> Self {
        ContextOptions::new()
    }
}

impl ContextOptions {
    /// The defaults: one thread, the best instruction set, no log, no limit of memory.
    pub fn new() -> Self {
        // Safety: the `_init` function of these options.
        let raw = unsafe { defaults(|o, size| sys::plr_context_options_init(o, size)) };
        ContextOptions { raw, logger: None, executor: None }
    }

    setters! {
        /// Threads that compute, the caller's included: 1 to 256. Default 1.
        threads: u32,
        /// Bytes the context may hold at once; 0, the default, is no limit.
        max_memory: u64,
        /// Largest frame accepted from a peer, in bytes; default 64 MiB.
        max_frame: u64,
        /// Largest file read whole (manifest, note), in bytes; default 16 MiB.
        max_file: u64,
    }

    /// The highest instruction set to use.
    #[must_use]
    pub fn isa(mut self, isa: Isa) -> Self {
        self.raw.isa = isa.0;
        self
    }

    /// Takes log lines up to `level`: `log(level, module, line)`. Any thread that uses the context may
    /// call it. It must not use the library; a panic in it is caught and lost.
    #[must_use]
    pub fn logger(mut self, level: Level, log: impl Fn(Level, &str, &str) + Send + Sync + 'static) -> Self {
        self.raw.log_level = level.0;
        self.logger = Some(Box::new(log));
        self
    }

    /// Computes on the host's threads instead of a pool: `run` gets tasks, to be run by any threads in
    /// any order, `threads` of them at once. What it leaves, also by a panic, is run after it by the
    /// calling thread.
    ///
    /// ```no_run
    /// let scoped = |tasks: &pluralis::Tasks<'_>| {
    ///     std::thread::scope(|s| {
    ///         s.spawn(|| tasks.run_all());
    ///         tasks.run_all();
    ///     })
    /// };
    /// let context = pluralis::Context::new(pluralis::ContextOptions::new().executor(2, scoped))?;
    /// # Ok::<(), pluralis::Error>(())
    /// ```
    #[must_use]
    pub fn executor(mut self, threads: u32, run: impl Fn(&Tasks<'_>) + Send + Sync + 'static) -> Self {
        self.raw.executor.threads = threads;
        self.executor = Some(Box::new(run));
        self
    }

    /// Takes memory from Rust's global allocator instead of the C library's.
    #[must_use]
    pub fn global_allocator(mut self) -> Self {
        self.raw.allocator.alloc = Some(rust_alloc);
        self.raw.allocator.free = Some(rust_free);
        self
    }
}

/// Lends the library memory, threads, a log and limits. Cheap to clone; threads may share it. What is
/// made with it keeps it alive.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    ptr: NonNull<sys::plr_context>,
    // Boxed once more, so that C can hold a thin pointer to them; they outlive the C context.
    _logger: Option<Box<Logger>>,
    _executor: Option<Box<Executor>>,
}

// Safety: <pluralis/base.h>: a context may be shared by threads. What it calls back is Send and Sync.
unsafe impl Send for Inner {}
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        // Safety: the one reference that was created. Whatever else C made with it, this crate drops
        // before the last `Context`.
        unsafe { sys::plr_context_destroy(self.ptr.as_ptr()) }
    }
}

/// Memory that a context holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes held now.
    pub bytes: u64,
    /// Most bytes held at once.
    pub peak: u64,
    /// Allocations since the context was made.
    pub allocations: u64,
}

impl Context {
    /// Makes a context. `UNSUPPORTED` when the library that is running is not of this crate's version.
    pub fn new(options: ContextOptions) -> Result<Context> {
        check_version(crate::version())?;
        let ContextOptions { mut raw, logger, executor } = options;
        let logger = logger.map(Box::new);
        let executor = executor.map(Box::new);
        if let Some(logger) = &logger {
            raw.logger.user = user(&**logger);
            raw.logger.write = Some(write_log);
        }
        if let Some(executor) = &executor {
            raw.executor.user = user(&**executor);
            raw.executor.parallel_for = Some(parallel_for);
        }
        // Safety: the options are initialised; what they point to lives as long as `Inner`.
        let ptr = create(|out, err| unsafe { sys::plr_context_create(&raw, out, err) })?;
        Ok(Context(Arc::new(Inner { ptr, _logger: logger, _executor: executor })))
    }

    /// Instruction set in use.
    pub fn isa(&self) -> Isa {
        // Safety: a live context.
        Isa(unsafe { sys::plr_context_isa(self.as_ptr()) })
    }

    /// Threads that compute.
    pub fn threads(&self) -> u32 {
        // Safety: a live context.
        unsafe { sys::plr_context_threads(self.as_ptr()) }
    }

    /// Memory held through the context.
    pub fn memory(&self) -> Memory {
        let (mut bytes, mut peak, mut allocations) = (0, 0, 0);
        // Safety: a live context; three numbers are written.
        unsafe {
            sys::plr_context_memory(self.as_ptr(), &mut bytes, &mut peak, &mut allocations);
        }
        Memory { bytes, peak, allocations }
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::plr_context {
        self.0.ptr.as_ptr()
    }
}

fn check_version(running: u32) -> Result<()> {
    let ours = sys::PLR_VERSION_MAJOR << 8 | sys::PLR_VERSION_MINOR;
    if running >> 8 == ours {
        return Ok(());
    }
    let text = format!(
        "this crate is for {}.{}, the library is {}.{}.{}",
        ours >> 8,
        ours & 255,
        running >> 16,
        running >> 8 & 255,
        running & 255
    );
    Err(Error::new(Status::UNSUPPORTED, "library version", text))
}

fn user<T>(value: &T) -> *mut c_void {
    (value as *const T as *mut T).cast()
}

// Called by C with `user` as `Context::new` gave it.
unsafe extern "C" fn write_log(
    user: *mut c_void,
    level: u32,
    module: *const c_char,
    line: *const c_char,
    len: usize,
) {
    let log = &*(user as *const Logger);
    let module = std::ffi::CStr::from_ptr(module).to_string_lossy();
    let line = String::from_utf8_lossy(std::slice::from_raw_parts(line.cast(), len));
    guarded(|| log(Level(level), &module, &line));
}

/// Pieces of one computation, each of which must be run once. See [`ContextOptions::executor`].
pub struct Tasks<'a> {
    task: unsafe extern "C" fn(arg: *mut c_void, index: u32),
    arg: *mut c_void,
    count: u32,
    next: AtomicU32,
    call: PhantomData<&'a ()>,
}

// Safety: <pluralis/base.h>: tasks run on any threads. `next` hands out each index once.
unsafe impl Sync for Tasks<'_> {}

impl Tasks<'_> {
    /// How many there are in all.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Runs one that no thread has begun; `false` when there is none left.
    pub fn run_one(&self) -> bool {
        let claim = |next| (next < self.count).then_some(next + 1);
        let claimed = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim);
        match claimed {
            // Safety: an index below count, handed out once. The computation is still waiting: this
            // borrow ends before the call from C returns.
            Ok(index) => unsafe { (self.task)(self.arg, index) },
            Err(_) => return false,
        }
        true
    }

    /// Runs what is left. Several threads may do so at once.
    pub fn run_all(&self) {
        while self.run_one() {}
    }
}

unsafe extern "C" fn parallel_for(
    user: *mut c_void,
    count: u32,
    task: Option<unsafe extern "C" fn(arg: *mut c_void, index: u32)>,
    arg: *mut c_void,
) {
    let run = &*(user as *const Executor);
    let task = match task {
        Some(task) => task,
        None => return,
    };
    let tasks = Tasks { task, arg, count, next: AtomicU32::new(0), call: PhantomData };
    guarded(|| run(&tasks));
    tasks.run_all();
}

// Memory for C. The layouts are valid: `align` is a power of two, and sizes that overflow are refused.
unsafe extern "C" fn rust_alloc(_: *mut c_void, size: usize, align: usize) -> *mut c_void {
    match Layout::from_size_align(size.max(1), align) {
        Ok(layout) => std::alloc::alloc(layout).cast(),
        Err(_) => null_mut(),
    }
}

unsafe extern "C" fn rust_free(_: *mut c_void, ptr: *mut c_void, size: usize, align: usize) {
    if !ptr.is_null() {
        let layout = Layout::from_size_align_unchecked(size.max(1), align);
        std::alloc::dealloc(ptr.cast(), layout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_refused() {
        assert!(check_version(crate::version()).is_ok());
        for other in [0x000200, 0x010100, 0] {
            let error = check_version(other).unwrap_err();
            assert_eq!(error.status, Status::UNSUPPORTED);
            assert!(error.message.contains("this crate is for 0.1"), "{error}");
        }
        assert!(check_version(crate::version() ^ 1).is_ok(), "a patch");
    }
}
