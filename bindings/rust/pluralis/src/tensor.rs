//! Borrowed views of matrices in memory.
use std::marker::PhantomData;

use crate::error::{call, Error, Result, Status};
use crate::ffi::codes;
use crate::sys;

codes! {
    /// Type of an element.
    Dtype {
        /// IEEE binary32.
        F32 = PLR_DTYPE_F32,
        /// IEEE binary16.
        F16 = PLR_DTYPE_F16,
        /// The upper half of a binary32.
        BF16 = PLR_DTYPE_BF16,
        /// Signed 32-bit integer.
        I32 = PLR_DTYPE_I32,
        /// Byte.
        U8 = PLR_DTYPE_U8,
    }
}

impl Dtype {
    /// Bytes an element, 0 for an unknown type.
    pub fn size(self) -> usize {
        // Safety: a function of a number.
        unsafe { sys::plr_dtype_size(self.0) as usize }
    }
}

/// rows x cols numbers, read only.
pub struct Matrix<'a> {
    raw: sys::plr_tensor,
    data: PhantomData<&'a [f32]>,
}

/// rows x cols numbers to write into.
pub struct MatrixMut<'a> {
    raw: sys::plr_tensor,
    data: PhantomData<&'a mut [f32]>,
}

// Safety: these are slices with a shape.
unsafe impl Send for Matrix<'_> {}
unsafe impl Sync for Matrix<'_> {}
unsafe impl Send for MatrixMut<'_> {}
unsafe impl Sync for MatrixMut<'_> {}

impl<'a> Matrix<'a> {
    /// `data` as rows x cols; its length must be their product, else `SHAPE`.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Result<Matrix<'a>> {
        let raw = contiguous(data.as_ptr(), data.len(), rows, cols)?;
        Ok(Matrix { raw, data: PhantomData })
    }

    /// rows x cols of `data`, where a row begins every `stride` elements; `SHAPE` when the last one
    /// ends outside of `data`, or rows overlap.
    pub fn with_stride(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Result<Matrix<'a>> {
        let raw = strided(data.as_ptr(), data.len(), rows, cols, stride)?;
        Ok(Matrix { raw, data: PhantomData })
    }

    /// rows, cols.
    pub fn shape(&self) -> (usize, usize) {
        shape(&self.raw)
    }

    pub(crate) fn as_ptr(&self) -> *const sys::plr_tensor {
        &self.raw
    }
}

impl<'a> MatrixMut<'a> {
    /// `data` as rows x cols; its length must be their product, else `SHAPE`.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Result<MatrixMut<'a>> {
        let raw = contiguous(data.as_mut_ptr(), data.len(), rows, cols)?;
        Ok(MatrixMut { raw, data: PhantomData })
    }

    /// rows x cols of `data`, where a row begins every `stride` elements; `SHAPE` when the last one
    /// ends outside of `data`, or rows overlap.
    pub fn with_stride(
        data: &'a mut [f32],
        rows: usize,
        cols: usize,
        stride: usize,
    ) -> Result<MatrixMut<'a>> {
        let raw = strided(data.as_mut_ptr(), data.len(), rows, cols, stride)?;
        Ok(MatrixMut { raw, data: PhantomData })
    }

    /// rows, cols.
    pub fn shape(&self) -> (usize, usize) {
        shape(&self.raw)
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut sys::plr_tensor {
        &mut self.raw
    }
}

fn shape(raw: &sys::plr_tensor) -> (usize, usize) {
    (raw.shape[0] as usize, raw.shape[1] as usize)
}

fn contiguous(data: *const f32, len: usize, rows: usize, cols: usize) -> Result<sys::plr_tensor> {
    if rows.checked_mul(cols) != Some(len) {
        let text = format!("{rows} x {cols} is not the shape of {len} elements");
        return Err(Error::new(Status::SHAPE, "matrix", text));
    }
    // Safety: all zero is a valid tensor.
    let mut raw: sys::plr_tensor = unsafe { std::mem::zeroed() };
    // Safety: writes `raw`. A slice is at most 2^63 bytes, so that both sizes fit, unless one is 0.
    unsafe {
        let (rows, cols) = (rows as i64, cols as i64);
        sys::plr_tensor_matrix(&mut raw, data as *mut _, sys::PLR_DTYPE_F32, rows, cols);
    }
    checked(raw)
}

fn strided(data: *const f32, len: usize, rows: usize, cols: usize, stride: usize) -> Result<sys::plr_tensor> {
    let end = rows
        .checked_sub(1)
        .map_or(Some(0), |last| last.checked_mul(stride).and_then(|start| start.checked_add(cols)));
    if (rows > 1 && stride < cols) || !matches!(end, Some(end) if end <= len) {
        let text = format!("{rows} x {cols} with stride {stride} is not within {len} elements");
        return Err(Error::new(Status::SHAPE, "matrix", text));
    }
    let mut raw = contiguous(data, rows * cols, rows, cols)?;
    raw.strides[0] = stride as i64;
    checked(raw)
}

fn checked(raw: sys::plr_tensor) -> Result<sys::plr_tensor> {
    // Safety: reads `raw`.
    call(|err| unsafe { sys::plr_tensor_check(&raw, err) })?;
    Ok(raw)
}
