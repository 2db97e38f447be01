//! A link carries frames between two identities over any byte stream, or datagrams, the host owns.
//!
//! It does no I/O and reads no clock: the host gives it the bytes that came, takes the bytes to send,
//! tells it the time in nanoseconds since any fixed point, and polls events.
use std::ffi::CStr;
use std::ptr::NonNull;

use crate::error::{check, Result, Status};
use crate::ffi::{create, defaults, record, setters, sized, FromC};
use crate::identity::PublicKey;
use crate::{sys, Context, Hash, Identity};

/// A deadline that never comes.
pub const NEVER: u64 = sys::PLR_NEVER;

/// What a [`Link`] is made with.
#[derive(Clone, Debug)]
pub struct LinkOptions {
    raw: sys::plr_link_options,
}

impl LinkOptions {
    /// `model`: hash of the model, the same on both sides. `nonce`: fresh, secret randomness, from
    /// which the session's keys come.
    pub fn new(model: Hash, nonce: [u8; 32]) -> Self {
        // Safety: the `_init` function of these options.
        let mut raw = unsafe { defaults(|o, size| sys::plr_link_options_init(o, size)) };
        raw.model = model.to_c();
        raw.profile = Hash::of_profile().to_c();
        raw.nonce = nonce;
        LinkOptions { raw }
    }

    setters! {
        /// The public key expected; all zero, the default, accepts any.
        peer_key: PublicKey,
        /// Bytes of frames in flight, each direction: 4 KiB to 1 TiB, default 16 MiB.
        window: u64,
        /// Nanoseconds of silence of this side before it shows that it is there; default 5 s, 0 = off.
        keep_alive_ns: u64,
        /// Nanoseconds of silence of the peer, or of handshake, after which the link is dead; default
        /// 20 s, 0 = never.
        timeout_ns: u64,
        /// 0, the default: an ordered byte stream; else datagrams of at most this many bytes, 512 to 65507.
        datagram: u32,
    }

    /// Nothing is encrypted: the host runs TLS or QUIC below. The same on both sides.
    #[must_use]
    pub fn unsealed(mut self) -> Self {
        self.raw.seal = 0;
        self
    }

    /// This is the side that connected.
    #[must_use]
    pub fn initiator(mut self) -> Self {
        self.raw.initiator = 1;
        self
    }

    /// Another numeric profile than this library's own; the same on both sides.
    #[must_use]
    pub fn profile(mut self, profile: Hash) -> Self {
        self.raw.profile = profile.to_c();
        self
    }
}

/// What happened on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEvent<'a> {
    /// Both hellos verified; the peer's key is known.
    Ready,
    /// One whole frame.
    Frame(&'a [u8]),
    /// There is room again, after `AGAIN` from [`Link::send`].
    Writable,
    /// After [`LinkIo::resume`]: both hellos verified again.
    Resumed,
    /// The link has ended; nothing comes after this.
    Closed {
        /// Why.
        status: Status,
        /// Why, in words.
        message: &'a str,
    },
    /// One that this crate does not know.
    Other(u32),
}

record! {
    /// Traffic of a link.
    LinkStats from plr_link_stats {
        /// On the stream, everything counted.
        bytes_sent: u64,
        /// On the stream, everything counted.
        bytes_received: u64,
        /// Whole frames.
        frames_sent: u64,
        /// Whole frames.
        frames_received: u64,
        /// Waiting to be sent.
        queued_bytes: u64,
        /// Begun and not yet taken by the other host, 256 more for each frame.
        unacked_bytes: u64,
        /// Frames, or pieces of them in datagram mode, that were sent again.
        retransmits: u64,
        /// Frames or pieces that came again, and were dropped.
        duplicates: u64,
        /// Datagrams dropped: altered, repeated, or of no session.
        rejected: u64,
        /// Handshakes after the first.
        resumes: u64,
        /// Time there and back, smoothed; 0: not measured yet.
        rtt_ns: u64,
        /// Delivery rate; 0: not measured yet.
        bytes_per_s: u64,
    }
}

/// One end of a connection. Used by one thread at a time.
pub struct Link {
    ptr: NonNull<sys::plr_link>,
    _identity: Identity,
    _context: Context,
}

// Safety: <pluralis/base.h>: used by one thread at a time, any of them.
unsafe impl Send for Link {}

impl Drop for Link {
    fn drop(&mut self) {
        // Safety: a live link; a stage that borrows one owns it.
        unsafe { sys::plr_link_destroy(self.ptr.as_ptr()) }
    }
}

impl Link {
    /// Makes one end; `identity` signs its hello. `INVALID_ARGUMENT`.
    pub fn new(context: &Context, identity: &Identity, options: &LinkOptions) -> Result<Link> {
        // Safety: live handles; the identity is kept in the `Link`.
        let ptr = create(|out, err| unsafe {
            sys::plr_link_create(context.as_ptr(), identity.as_ptr(), &options.raw, out, err)
        })?;
        Ok(Link { ptr, _identity: identity.clone(), _context: context.clone() })
    }

    /// Queues a copy of a frame. `priority` 0 is sent first, 3 last. `AGAIN`: the queue holds a window
    /// already; try again after [`LinkEvent::Writable`]. `LIMIT`: larger than a window or than the peer
    /// takes. `INVALID_STATE`: closed.
    #[inline]
    pub fn send(&mut self, frame: &[u8], priority: u32) -> Result<()> {
        // Safety: a live link; the frame is read.
        check(unsafe {
            let data = frame.as_ptr().cast();
            sys::plr_link_send(self.as_ptr(), data, frame.len(), priority)
        })
    }

    /// The next event, or `None` when there is none now. Taking a frame acknowledges it.
    #[inline]
    pub fn next_event(&mut self) -> Option<LinkEvent<'_>> {
        // Safety: all zero is a valid value; a live link.
        let mut event: sys::plr_link_event = unsafe { std::mem::zeroed() };
        let status = unsafe { sys::plr_link_next_event(self.as_ptr(), &mut event) };
        if status != sys::PLR_OK {
            return None;
        }
        Some(match event.type_ {
            sys::PLR_LINK_READY => LinkEvent::Ready,
            // Safety: valid until the next call that is not const, which needs this borrow back.
            sys::PLR_LINK_FRAME => LinkEvent::Frame(unsafe { bytes(event.data, event.len) }),
            sys::PLR_LINK_WRITABLE => LinkEvent::Writable,
            sys::PLR_LINK_RESUMED => LinkEvent::Resumed,
            sys::PLR_LINK_CLOSED => LinkEvent::Closed {
                status: Status(event.status),
                // Safety: as above.
                message: unsafe { text(event.message) },
            },
            other => LinkEvent::Other(other),
        })
    }

    /// Its side towards the byte stream.
    #[inline]
    pub fn io(&mut self) -> LinkIo<'_> {
        LinkIo(self)
    }

    /// Traffic so far.
    pub fn stats(&self) -> LinkStats {
        // Safety: a struct with a struct_size; a live link.
        let mut stats: sys::plr_link_stats = unsafe { sized() };
        unsafe { sys::plr_link_get_stats(self.as_ptr(), &mut stats) };
        LinkStats::from_c(stats)
    }

    /// Bytes that the link carries in `interval_ns` at its delivery rate, less a tenth; `None` while there is
    /// no rate. For an encoder whose frames go over this link once per interval.
    pub fn budget(&self, interval_ns: u64) -> Option<u64> {
        let mut bytes = 0;
        // Safety: a live link.
        let status = unsafe { sys::plr_link_budget(self.as_ptr(), interval_ns, &mut bytes) };
        (status == sys::PLR_OK).then_some(bytes)
    }

    /// Public key of the peer, all zero before [`LinkEvent::Ready`].
    pub fn peer_key(&self) -> PublicKey {
        let mut key = [0; 32];
        // Safety: a live link; 32 bytes are written.
        unsafe { sys::plr_link_peer_key(self.as_ptr(), key.as_mut_ptr()) };
        key
    }

    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut sys::plr_link {
        self.ptr.as_ptr()
    }
}

/// The side of a link towards the byte stream, which the host works also while a stage has the link.
pub struct LinkIo<'a>(pub(crate) &'a mut Link);

impl LinkIo<'_> {
    /// Gives bytes that arrived; all are consumed. A fault of the peer ends the link (`MALFORMED`,
    /// `CHECKSUM`, `VERSION`, `MISMATCH`, `SIGNATURE`, `SEQUENCE`, `LIMIT`), also seen as
    /// [`LinkEvent::Closed`] with its detail. `INVALID_STATE`: closed.
    #[inline]
    pub fn receive(&mut self, now_ns: u64, data: &[u8]) -> Result<()> {
        // Safety: a live link; the data is read.
        check(unsafe { sys::plr_link_receive(self.0.as_ptr(), now_ns, data.as_ptr().cast(), data.len()) })
    }

    /// Takes bytes to send, as many as fit `buffer`; returns how many, 0 when there is nothing now.
    #[inline]
    pub fn transmit(&mut self, now_ns: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut written = 0;
        // Safety: a live link; at most the buffer is written.
        check(unsafe {
            let (out, cap) = (buffer.as_mut_ptr().cast(), buffer.len());
            sys::plr_link_transmit(self.0.as_ptr(), now_ns, out, cap, &mut written)
        })?;
        Ok(written)
    }

    /// When [`LinkIo::advance`] has something to do: 0 before the first call that names a time, or
    /// [`NEVER`].
    #[inline]
    pub fn next_deadline_ns(&self) -> u64 {
        // Safety: a live link.
        unsafe { sys::plr_link_next_deadline_ns(self.0.as_ptr()) }
    }

    /// Does what is due: acknowledgements, keep-alive. `CLOSED`: the peer has been silent for too long.
    #[inline]
    pub fn advance(&mut self, now_ns: u64) -> Result<()> {
        // Safety: a live link.
        check(unsafe { sys::plr_link_advance(self.0.as_ptr(), now_ns) })
    }

    /// The host has a new byte stream in place of one it lost: both ends shake hands again over that, and what
    /// did not arrive is sent again. `nonce`: fresh, secret randomness, new each time (`INVALID_ARGUMENT`).
    /// `INVALID_STATE`: closed.
    pub fn resume(&mut self, now_ns: u64, nonce: &[u8; 32]) -> Result<()> {
        // Safety: a live link; 32 bytes are read.
        check(unsafe { sys::plr_link_resume(self.0.as_ptr(), now_ns, nonce.as_ptr()) })
    }

    /// As [`Link::budget`].
    pub fn budget(&self, interval_ns: u64) -> Option<u64> {
        self.0.budget(interval_ns)
    }

    /// The link is to end for good: frames not yet sent are dropped. Events can still be read.
    pub fn close(&mut self, why: Status) {
        // Safety: a live link.
        unsafe { sys::plr_link_close(self.0.as_ptr(), why.0) }
    }

    /// Traffic so far.
    pub fn stats(&self) -> LinkStats {
        self.0.stats()
    }

    /// Public key of the peer, all zero before the link is ready.
    pub fn peer_key(&self) -> PublicKey {
        self.0.peer_key()
    }
}

/// Bytes of an event.
///
/// Safety: `len` bytes, or nothing when `len` is 0, which live as long as `'a`.
pub(crate) unsafe fn bytes<'a>(data: *const u8, len: usize) -> &'a [u8] {
    if data.is_null() || len == 0 {
        return &[];
    }
    std::slice::from_raw_parts(data, len)
}

/// Text of an event.
///
/// Safety: null or NUL-terminated, and lives as long as `'a`.
pub(crate) unsafe fn text<'a>(message: *const std::os::raw::c_char) -> &'a str {
    if message.is_null() {
        return "";
    }
    CStr::from_ptr(message).to_str().unwrap_or("")
}
