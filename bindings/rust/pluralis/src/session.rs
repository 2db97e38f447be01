//! Generation: sessions on a [`Shard`], and how tokens are drawn.
use std::ptr::NonNull;

use crate::error::{call, check, Error, Result, Status};
use crate::ffi::{create, defaults, u32_len};
use crate::io::{Sink, Source};
use crate::shard::{pointer, pointer_mut, Sampling};
use crate::{sys, Context, Shard};

/// A sequence of tokens as one shard has seen it: the keys and values of its attention layers. It lives
/// in its shard; a model in several shards has one session on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Session(usize);

/// Rows of one session in a call of [`Shard::feed`].
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// A session of the shard, named once a call.
    pub session: Session,
    /// Its next tokens.
    pub tokens: &'a [i32],
    /// Position of the first of them: the session's length.
    pub position: u32,
    /// Of so many of the last rows the logits are wanted; on the last shard only.
    pub logits: u32,
}

impl Shard {
    /// Opens a session of at most `max_tokens` tokens (0: the model's seq_len). `LIMIT`, `UNSUPPORTED`
    /// (device).
    pub fn open_session(&mut self, max_tokens: u32) -> Result<Session> {
        // Safety: the `_init` function of these options.
        let mut options: sys::plr_session_options =
            unsafe { defaults(|o, size| sys::plr_session_options_init(o, size)) };
        options.max_tokens = max_tokens;
        // Safety: a live shard; the options live during the call.
        let ptr = create(|out, err| unsafe { sys::plr_session_create(self.as_ptr(), &options, out, err) })?;
        self.sessions.push(Some(ptr));
        Ok(Session(self.sessions.len() - 1))
    }

    /// Ends a session.
    pub fn close_session(&mut self, session: Session) -> Result<()> {
        let ptr = self.session(session)?;
        self.sessions[session.0] = None;
        // Safety: a live session, which nobody names any more.
        unsafe { sys::plr_session_destroy(ptr.as_ptr()) };
        Ok(())
    }

    fn session(&self, session: Session) -> Result<NonNull<sys::plr_session>> {
        self.sessions.get(session.0).copied().flatten().ok_or_else(|| {
            Error::new(Status::NOT_FOUND, "session", "the shard has no such session".to_string())
        })
    }

    /// Tokens a session was fed so far: the position of the next one.
    pub fn session_length(&self, session: Session) -> Result<u32> {
        // Safety: a live session.
        Ok(unsafe { sys::plr_session_length(self.session(session)?.as_ptr()) })
    }

    /// Forgets a session's tokens from `length` on. `INVALID_ARGUMENT` when there are fewer.
    pub fn truncate_session(&mut self, session: Session, length: u32) -> Result<()> {
        // Safety: a live session.
        check(unsafe { sys::plr_session_truncate(self.session(session)?.as_ptr(), length) })
    }

    /// Writes a session's state.
    pub fn save_session(&mut self, session: Session, sink: Sink<'_>) -> Result<()> {
        let ptr = self.session(session)?;
        // Safety: a live session; the sink is taken.
        sink.give(|sink, err| unsafe { sys::plr_session_save(ptr.as_ptr(), sink, err) })
    }

    /// Restores a state into an empty session; what follows has the same bits as if nothing had happened.
    /// `INVALID_STATE` (not empty), `MALFORMED`, `TRUNCATED`, `CHECKSUM`, `MISMATCH`, `LIMIT`.
    pub fn load_session(&mut self, session: Session, source: &mut Source<'_>) -> Result<()> {
        let ptr = self.session(session)?;
        // Safety: a live session; the source is read during the call.
        source.lend(|source| call(|err| unsafe { sys::plr_session_load(ptr.as_ptr(), source, err) }))
    }

    /// Feeds rows of many sessions at once; how rows are cut into calls never changes a bit. `input`: all
    /// rows x w, `None` on the first shard. `output`: all rows x w; on the last shard the logits asked
    /// for, each V; `None` for no rows. `INVALID_ARGUMENT`, `INVALID_STATE` (not the session's next
    /// position), `LIMIT`, `SHAPE`, `NON_FINITE`.
    pub fn feed(
        &mut self,
        rows: &[Rows<'_>],
        input: Option<&[f32]>,
        output: Option<&mut [f32]>,
    ) -> Result<()> {
        let (mut total, mut wanted) = (0usize, 0usize);
        let mut raw = Vec::with_capacity(rows.len());
        for row in rows {
            total += row.tokens.len();
            wanted += row.logits as usize;
            raw.push(sys::plr_session_rows {
                session: self.session(row.session)?.as_ptr(),
                tokens: row.tokens.as_ptr(),
                count: u32_len("rows.tokens", row.tokens.len())?,
                first_position: row.position,
                logits: row.logits,
                reserved: 0,
            });
        }
        let count = u32_len("rows", raw.len())?;
        let (out_rows, cols) = match self.is_last() {
            true => (wanted, self.info().vocab),
            false => (total, self.info().boundary_width),
        };
        let input = self.read("input", input, total)?;
        let mut output = self.write("output", output, out_rows, cols)?;
        // Safety: a live shard and its sessions; lengths are those of the rows.
        call(|err| unsafe {
            let (input, output) = (pointer(&input), pointer_mut(&mut output));
            sys::plr_shard_feed(self.as_ptr(), raw.as_ptr(), count, input, output, err)
        })
    }
}

/// Draws one token from V logits like [`crate::sample`], and of the tokens that `how` leaves only from the
/// most likely until their share reaches `top_p`, in (0, 1]. `INVALID_ARGUMENT`, `NON_FINITE`.
pub fn sample_top_p(
    context: &Context,
    logits: &[f32],
    how: Sampling,
    top_p: f32,
    position: u64,
) -> Result<i32> {
    let vocab = u32_len("sample.logits", logits.len())?;
    // Safety: the `_init` function of these options.
    let mut options: sys::plr_sample_options =
        unsafe { defaults(|o, size| sys::plr_sample_options_init(o, size)) };
    options.temperature = how.temperature;
    options.top_k = how.top_k;
    options.top_p = top_p;
    options.seed = how.seed;
    options.position = position;
    let mut token = 0;
    // Safety: a live context; as many logits as the vocabulary has.
    check(unsafe { sys::plr_sample_logits(context.as_ptr(), logits.as_ptr(), vocab, &options, &mut token) })?;
    Ok(token)
}
