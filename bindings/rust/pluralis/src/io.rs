//! Where bytes that outlive a process come from and go to: files, or anything that implements the
//! traits of `std::io`.
use std::any::Any;
use std::io;
use std::marker::PhantomData;
use std::os::raw::c_void;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::path::Path;
use std::ptr::null_mut;

use crate::error::{call, check, Error, Result, Status};
use crate::ffi::c_path;
use crate::{sys, Context};

/// What a callback met with, kept for the caller on the other side of C.
#[derive(Default)]
pub(crate) struct Outcome {
    error: Option<io::Error>,
    panic: Option<Box<dyn Any + Send>>,
}

impl Outcome {
    /// Runs a callback. A panic is kept, to go on once C has returned, and is an I/O error for C.
    pub(crate) fn run(&mut self, function: impl FnOnce() -> io::Result<()>) -> sys::plr_status {
        if self.panic.is_some() {
            return sys::PLR_ERR_IO;
        }
        match catch_unwind(AssertUnwindSafe(function)) {
            Ok(Ok(())) => sys::PLR_OK,
            Ok(Err(error)) => {
                let status = status_of(&error);
                self.error = Some(error);
                status
            }
            Err(payload) => {
                self.panic = Some(payload);
                sys::PLR_ERR_IO
            }
        }
    }

    /// After the call: lets a panic go on, and adds what the reader or writer said.
    pub(crate) fn settle<T>(&mut self, result: Result<T>) -> Result<T> {
        if let Some(payload) = self.panic.take() {
            resume_unwind(payload);
        }
        let cause = self.error.take();
        result.map_err(|mut failure| {
            if let Some(cause) = cause {
                failure.message = format!("{}: {cause}", failure.message).into();
            }
            failure
        })
    }
}

pub(crate) fn status_of(error: &io::Error) -> sys::plr_status {
    const ENOSPC: i32 = 28;
    const EDQUOT: i32 = 122;
    match (error.kind(), error.raw_os_error()) {
        (_, Some(ENOSPC | EDQUOT)) => sys::PLR_ERR_NO_SPACE,
        (io::ErrorKind::OutOfMemory, _) => sys::PLR_ERR_NO_MEMORY,
        (io::ErrorKind::UnexpectedEof, _) => sys::PLR_ERR_TRUNCATED,
        _ => sys::PLR_ERR_IO,
    }
}

/// Bytes to read at any offset.
pub struct Source<'a> {
    raw: sys::plr_source,
    /// Of a reader; null for a file, which C owns.
    state: *mut Reading<'a>,
    _context: Option<Context>,
    borrows: PhantomData<&'a mut ()>,
}

struct Reading<'a> {
    reader: Box<dyn ReadSeek + 'a>,
    size: u64,
    outcome: Outcome,
}

trait ReadSeek: io::Read + io::Seek {}
impl<T: io::Read + io::Seek> ReadSeek for T {}

impl<'a> Source<'a> {
    /// Opens a file. `NOT_FOUND` when there is none.
    pub fn path(context: &Context, path: impl AsRef<Path>) -> Result<Source<'static>> {
        let path = c_path(path.as_ref())?;
        // Safety: all zero is a source without functions.
        let mut raw: sys::plr_source = unsafe { std::mem::zeroed() };
        // Safety: a live context and a text; `raw` is written.
        call(|err| unsafe { sys::plr_source_open_path(context.as_ptr(), path.as_ptr(), &mut raw, err) })?;
        Ok(Source { raw, state: null_mut(), _context: Some(context.clone()), borrows: PhantomData })
    }

    /// Reads from `reader`, as many bytes as it has now.
    pub fn reader(mut reader: impl io::Read + io::Seek + 'a) -> Result<Source<'a>> {
        let failed = |e: io::Error| Error::new(Status(status_of(&e)), "reader", e.to_string());
        let size = reader.seek(io::SeekFrom::End(0)).map_err(failed)?;
        let state =
            Box::into_raw(Box::new(Reading { reader: Box::new(reader), size, outcome: Outcome::default() }));
        let raw = sys::plr_source { user: state.cast(), size, read_at: Some(read_at), close: None };
        Ok(Source { raw, state, _context: None, borrows: PhantomData })
    }

    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        self.raw.size
    }

    /// Fills `buffer` from `offset` on. `TRUNCATED` past the end.
    pub fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.lend(|source| {
            // Safety: the function and the user that belong to it; `buffer` is written.
            check(unsafe {
                let read = (*source).read_at.expect("set when the source was made");
                read((*source).user, offset, buffer.as_mut_ptr().cast(), buffer.len())
            })
        })
    }

    /// The struct, for a call of C that only reads from it.
    pub(crate) fn raw(&self) -> sys::plr_source {
        self.raw
    }

    /// The struct, which C closes from here on; the state of a reader must stay until it has.
    pub(crate) fn take(&mut self) -> sys::plr_source {
        let raw = self.raw;
        self.raw.close = None;
        raw
    }

    /// Adds what the reader said to a failure, and lets its panic go on.
    pub(crate) fn explain(&mut self, error: Error) -> Error {
        if self.state.is_null() {
            return error;
        }
        // Safety: made by `reader`; no call is under way.
        match unsafe { (*self.state).outcome.settle::<()>(Err(error)) } {
            Err(error) => error,
            Ok(()) => unreachable!("a failure stays one"),
        }
    }

    /// Lends the source to C for a call.
    pub(crate) fn lend<T>(
        &mut self,
        function: impl FnOnce(*const sys::plr_source) -> Result<T>,
    ) -> Result<T> {
        let result = function(&self.raw);
        if self.state.is_null() {
            return result;
        }
        // Safety: made by `reader`; no call is under way.
        unsafe { (*self.state).outcome.settle(result) }
    }
}

impl Source<'_> {
    /// Lends several to C for a call.
    pub(crate) fn lend_all<T>(
        sources: &mut [Source<'_>],
        function: impl FnOnce(*const sys::plr_source, u32) -> Result<T>,
    ) -> Result<T> {
        let count = crate::ffi::u32_len("sources", sources.len())?;
        let raw: Vec<sys::plr_source> = sources.iter().map(|source| source.raw).collect();
        let mut result = function(raw.as_ptr(), count);
        for source in sources {
            if !source.state.is_null() {
                // Safety: made by `reader`; no call is under way.
                result = unsafe { (*source.state).outcome.settle(result) };
            }
        }
        result
    }
}

impl Drop for Source<'_> {
    fn drop(&mut self) {
        // Safety: a file is closed once, and the state of a reader freed once.
        unsafe {
            if let Some(close) = self.raw.close {
                close(self.raw.user);
            }
            if !self.state.is_null() {
                drop(Box::from_raw(self.state));
            }
        }
    }
}

// Called by C with the user of `Source::reader`.
unsafe extern "C" fn read_at(
    user: *mut c_void,
    offset: u64,
    buffer: *mut c_void,
    len: usize,
) -> sys::plr_status {
    let state = &mut *user.cast::<Reading<'_>>();
    if offset > state.size || len as u64 > state.size - offset {
        return sys::PLR_ERR_TRUNCATED;
    }
    if len == 0 {
        return sys::PLR_OK;
    }
    // A reader may look at what it is given, which for C need not be initialised.
    buffer.cast::<u8>().write_bytes(0, len);
    let buffer = std::slice::from_raw_parts_mut(buffer.cast::<u8>(), len);
    let Reading { reader, outcome, .. } = state;
    outcome.run(|| {
        reader.seek(io::SeekFrom::Start(offset))?;
        reader.read_exact(buffer)
    })
}

/// Bytes written front to back, which become visible only at [`Sink::commit`]; dropped before that, a
/// file leaves no trace. Of what a plain writer has been given before, it cannot be rid.
pub struct Sink<'a> {
    raw: sys::plr_sink,
    /// Of a writer; null for a file, which C owns.
    state: *mut Writing<'a>,
    /// `commit` or `abort` has been called.
    done: bool,
    _context: Option<Context>,
    borrows: PhantomData<&'a mut ()>,
}

struct Writing<'a> {
    writer: Box<dyn io::Write + 'a>,
    outcome: Outcome,
}

impl<'a> Sink<'a> {
    /// Writes beside `path`, and puts the file there, durable, at commit. A write that fails (full
    /// disk: `NO_SPACE`) leaves an earlier file of that name untouched.
    pub fn path(context: &Context, path: impl AsRef<Path>) -> Result<Sink<'static>> {
        let path = c_path(path.as_ref())?;
        // Safety: all zero is a sink without functions.
        let mut raw: sys::plr_sink = unsafe { std::mem::zeroed() };
        // Safety: a live context and a text; `raw` is written.
        call(|err| unsafe { sys::plr_sink_open_path(context.as_ptr(), path.as_ptr(), &mut raw, err) })?;
        Ok(Sink {
            raw,
            state: null_mut(),
            done: false,
            _context: Some(context.clone()),
            borrows: PhantomData,
        })
    }

    /// Writes to `writer`, for instance a `&mut Vec<u8>`; commit flushes it.
    pub fn writer(writer: impl io::Write + 'a) -> Sink<'a> {
        let state =
            Box::into_raw(Box::new(Writing { writer: Box::new(writer), outcome: Outcome::default() }));
        let raw = sys::plr_sink {
            user: state.cast(),
            write: Some(write),
            commit: Some(commit),
            abort: Some(abort),
        };
        Sink { raw, state, done: false, _context: None, borrows: PhantomData }
    }

    /// Appends `data`.
    pub fn write(&mut self, data: &[u8]) -> Result<()> {
        // Safety: the function and the user that belong to it; `data` is read.
        let result = check(unsafe {
            let write = self.raw.write.expect("set when the sink was made");
            write(self.raw.user, data.as_ptr().cast(), data.len())
        });
        self.settle(result)
    }

    /// Makes what was written visible and durable.
    pub fn commit(self) -> Result<()> {
        self.give(|sink, _| unsafe {
            // Safety: the function and the user that belong to it.
            (*sink).commit.expect("set when the sink was made")((*sink).user)
        })
    }

    /// Gives the sink to C, which commits or aborts it.
    pub(crate) fn give(
        mut self,
        function: impl FnOnce(*mut sys::plr_sink, *mut sys::plr_error) -> sys::plr_status,
    ) -> Result<()> {
        self.done = true;
        let result = call(|err| function(&mut self.raw, err));
        self.settle(result)
    }

    fn settle(&mut self, result: Result<()>) -> Result<()> {
        if self.state.is_null() {
            return result;
        }
        // Safety: made by `writer`; no call is under way.
        unsafe { (*self.state).outcome.settle(result) }
    }
}

impl Drop for Sink<'_> {
    fn drop(&mut self) {
        // Safety: not committed or aborted yet; the state of a writer is freed once.
        unsafe {
            if !self.done {
                self.raw.abort.expect("set when the sink was made")(self.raw.user);
            }
            if !self.state.is_null() {
                drop(Box::from_raw(self.state));
            }
        }
    }
}

// Called by C with the user of `Sink::writer`, which is freed when the `Sink` is dropped.
unsafe extern "C" fn write(user: *mut c_void, data: *const c_void, len: usize) -> sys::plr_status {
    if len == 0 {
        return sys::PLR_OK;
    }
    let Writing { writer, outcome } = &mut *user.cast::<Writing<'_>>();
    let data = std::slice::from_raw_parts(data.cast::<u8>(), len);
    outcome.run(|| writer.write_all(data))
}

unsafe extern "C" fn commit(user: *mut c_void) -> sys::plr_status {
    let Writing { writer, outcome } = &mut *user.cast::<Writing<'_>>();
    outcome.run(|| writer.flush())
}

unsafe extern "C" fn abort(_: *mut c_void) {}
