//! The weights of a published model: safetensors files, one or many with an index.
use std::ffi::CStr;
use std::os::raw::{c_char, c_void};
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::path::Path;
use std::ptr::NonNull;

use crate::error::{call, Error, Result};
use crate::ffi::{c_path, c_text, create, sized, u32_len};
use crate::io::{Sink, Source};
use crate::{sys, Context, Dtype};

/// A tensor of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightsTensor {
    /// Its name.
    pub name: String,
    /// The file it is in, by the index; empty without one.
    pub file: String,
    /// `None`: a type that models are not read from.
    pub dtype: Option<Dtype>,
    /// Elements in each dimension.
    pub shape: Vec<usize>,
    /// Bytes in the file.
    pub bytes: u64,
}

/// A checkpoint, opened for reading. Used by one thread at a time.
pub struct Weights<'a> {
    ptr: NonNull<sys::plr_weights>,
    /// What C reads from; freed after the handle.
    files: *mut Files<'a>,
    _context: Context,
}

type Opener<'a> = Box<dyn FnMut(&str) -> Result<Source<'a>> + 'a>;

struct Files<'a> {
    opener: Option<Opener<'a>>,
    opened: Vec<Source<'a>>,
    error: Option<Error>,
    panic: Option<Box<dyn std::any::Any + Send>>,
}

impl Drop for Weights<'_> {
    fn drop(&mut self) {
        // Safety: a live handle, then what it read from.
        unsafe {
            sys::plr_weights_destroy(self.ptr.as_ptr());
            drop(Box::from_raw(self.files));
        }
    }
}

impl<'a> Weights<'a> {
    /// A folder that holds `model.safetensors.index.json` or `model.safetensors`, or a safetensors file.
    /// `NOT_FOUND`, `MALFORMED`, `TRUNCATED`, `UNSUPPORTED`, `LIMIT`.
    pub fn path(context: &Context, path: impl AsRef<Path>) -> Result<Weights<'static>> {
        let path = c_path(path.as_ref())?;
        Weights::make(context, None, |_, out, err| unsafe {
            // Safety: a live context and a text.
            sys::plr_weights_open_path(context.as_ptr(), path.as_ptr(), out, err)
        })
    }

    /// A checkpoint of one file.
    pub fn source(context: &Context, mut source: Source<'a>) -> Result<Weights<'a>> {
        let raw = source.take();
        Weights::make(context, None, |files, out, err| unsafe {
            files.opened.push(source);
            // Safety: a live context; the source's state lives in `files`.
            sys::plr_weights_open(context.as_ptr(), &raw, out, err)
        })
    }

    /// A checkpoint of many files: the text of its index, and what opens a file of it by name.
    pub fn index(
        context: &Context,
        json: &str,
        opener: impl FnMut(&str) -> Result<Source<'a>> + 'a,
    ) -> Result<Weights<'a>> {
        Weights::make(context, Some(Box::new(opener)), |files, out, err| {
            let user: *mut Files<'a> = files;
            let opener = sys::plr_source_opener { user: user.cast(), open: Some(open) };
            // Safety: a live context; `files` lives as long as the handle.
            unsafe {
                let (ctx, text) = (context.as_ptr(), json.as_ptr().cast());
                sys::plr_weights_open_index(ctx, text, json.len(), &opener, out, err)
            }
        })
    }

    fn make(
        context: &Context,
        opener: Option<Opener<'a>>,
        function: impl FnOnce(&mut Files<'a>, *mut *mut sys::plr_weights, *mut sys::plr_error) -> sys::plr_status,
    ) -> Result<Weights<'a>> {
        let files = Box::new(Files { opener, opened: Vec::new(), error: None, panic: None });
        let files = Box::into_raw(files);
        // Safety: made above, and not used elsewhere during the call.
        match create(|out, err| function(unsafe { &mut *files }, out, err)) {
            Ok(ptr) => Ok(Weights { ptr, files, _context: context.clone() }),
            Err(error) => {
                // Safety: made above; no handle refers to it.
                let mut files = unsafe { Box::from_raw(files) };
                Err(files.opened.iter_mut().fold(error, |error, source| source.explain(error)))
            }
        }
    }

    /// Every tensor, by name; opens all files.
    pub fn tensors(&mut self) -> Result<Vec<WeightsTensor>> {
        // Safety: a live handle.
        let count = unsafe { sys::plr_weights_count(self.ptr.as_ptr()) };
        (0..count)
            .map(|i| {
                // Safety: a struct with a struct_size.
                let mut raw: sys::plr_weights_tensor = unsafe { sized() };
                self.lend(|weights| {
                    // Safety: a live handle; `raw` is written.
                    call(|err| unsafe { sys::plr_weights_get(weights, i, &mut raw, err) })
                })?;
                // Safety: texts that live as long as the handle.
                let text = |text| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
                Ok(WeightsTensor {
                    name: text(raw.name),
                    file: text(raw.file),
                    dtype: (raw.dtype != 0).then_some(Dtype(raw.dtype)),
                    shape: raw.shape[..raw.ndim as usize].iter().map(|n| *n as usize).collect(),
                    bytes: raw.bytes,
                })
            })
            .collect()
    }

    /// Lends the handle to C for a call that may read.
    pub(crate) fn lend<T>(&mut self, function: impl FnOnce(*mut sys::plr_weights) -> Result<T>) -> Result<T> {
        let result = function(self.ptr.as_ptr());
        // Safety: made by `make`; no call is under way.
        let files = unsafe { &mut *self.files };
        if let Some(payload) = files.panic.take() {
            resume_unwind(payload);
        }
        let refused = files.error.take();
        result.map_err(|error| {
            let error = refused.unwrap_or(error);
            files.opened.iter_mut().fold(error, |error, source| source.explain(error))
        })
    }
}

// Called by C with the user of `Weights::index`.
unsafe extern "C" fn open(
    user: *mut c_void,
    name: *const c_char,
    out: *mut sys::plr_source,
) -> sys::plr_status {
    let files = &mut *user.cast::<Files<'_>>();
    let name = CStr::from_ptr(name).to_string_lossy();
    let Files { opener, opened, error, panic } = files;
    let opener = opener.as_mut().expect("set when there is an index");
    match catch_unwind(AssertUnwindSafe(|| opener(&name))) {
        Ok(Ok(mut source)) => {
            *out = source.take();
            opened.push(source);
            sys::PLR_OK
        }
        Ok(Err(refused)) => {
            let status = refused.status.0;
            *error = Some(refused);
            status
        }
        Err(payload) => {
            *panic = Some(payload);
            sys::PLR_ERR_IO
        }
    }
}

/// Writes the index of safetensors files, each with its name. `MALFORMED` (also a tensor that two files
/// hold, a name with a path).
pub fn write_index(context: &Context, files: &mut [(&str, Source<'_>)], sink: Sink<'_>) -> Result<()> {
    let names = files.iter().map(|(name, _)| c_text("index", name)).collect::<Result<Vec<_>>>()?;
    let count = u32_len("index", files.len())?;
    let names: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let sources: Vec<sys::plr_source> = files.iter().map(|(_, source)| source.raw()).collect();
    let result = sink.give(|sink, err| {
        // Safety: a live context; as many names as sources, which live during the call.
        unsafe {
            let (names, sources) = (names.as_ptr(), sources.as_ptr());
            sys::plr_weights_write_index(context.as_ptr(), names, sources, count, sink, err)
        }
    });
    result.map_err(|error| files.iter_mut().fold(error, |error, (_, source)| source.explain(error)))
}
