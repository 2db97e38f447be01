/* A frame whose bytes come in pieces of any size. Its header and each chunk are decoded as soon as they are whole:
 * where they lie if one piece has all of them, else gathered in a buffer that is as large as the largest chunk. */
#include "exchange/decoder_int.h"

#include <string.h>

/* No chunk of a frame that this decoder takes is longer, however it is coded. */
static uint64_t most_held(const plr_decoder *d) {
  const uint64_t rows = PLR_MIN(d->max_rows, PLR_CHUNK_VALUES);
  const uint64_t chunk = PLR_PARAMETRIC_MOST(rows, d->values);
  const uint64_t front = PLR_MAX(PLR_SCALES_MOST(d->max_cols), PLR_KEYS_MOST(d->max_rows));
  return PLR_CHUNK_HEADER + PLR_MAX(PLR_MAX(chunk, front), PLR_FRAME_MAX_HEADER);
}

plr_status plr_decoder_begin(plr_decoder *d, plr_tensor *x, plr_error *err) {
  PLR_GUARD(d, err);
  if (!d || !x) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "decoder", "an argument is NULL");
  plr__view view;
  plr__feed *f = &d->feed;
  if (plr__view_open(&view, x, d->max_rows, d->max_cols, 1) != PLR_OK)
    return plr__fail(err, PLR_ERR_SHAPE, "decoder", "no matrix of floats of at most %u x %u",
                     d->max_rows, d->max_cols);
  if (!f->held) f->held = plr__alloc(d->ctx, (size_t)most_held(d));
  if (!f->held) return plr__no_memory(err, "decoder");
  f->target = *x;
  f->len = 0;
  f->state = PLR_FEED_HEADER;
  return PLR_OK;
}

/* Bytes of what has to be whole next, as far as `have` of them tell. */
static plr_status needed(const plr_decoder *d, const uint8_t *at, size_t have, size_t *need,
                         plr_error *err) {
  const plr__decode_job *j = &d->job;
  if (d->feed.state == PLR_FEED_HEADER) {
    *need = PLR_FRAME_HEADER;
    if (have < PLR_FRAME_HEADER) return PLR_OK;
    const uint32_t header_len = plr__load_le16(at + 6); /* a wrong one is found with the rest */
    if (header_len > PLR_FRAME_HEADER && header_len <= PLR_FRAME_MAX_HEADER) *need = header_len;
    return PLR_OK;
  }
  *need = PLR_CHUNK_HEADER;
  if (have < PLR_CHUNK_HEADER) return PLR_OK;
  *need += plr__load_le32(at);
  const uint64_t before = (uint64_t)j->frame.header_len + j->reader.pos;
  const uint64_t end = (uint64_t)j->reader.pos + *need;
  if (*need > most_held(d) || before + *need > plr__max_frame(d->ctx) ||
      (!j->frame.streamed && end > j->frame.info.payload_len))
    return plr__fail_at(err, PLR_ERR_LIMIT, "frame chunk", before,
                        "it says %zu bytes: more than its frame, the decoder or the context takes",
                        *need);
  return PLR_OK;
}

static plr_status take_header(plr_decoder *d, const uint8_t *at, size_t len, plr_error *err) {
  plr__frame *f = &d->job.frame;
  PLR_TRY(plr__frame_head(at, len, f, err));
  if ((uint64_t)f->header_len + f->info.payload_len > plr__max_frame(d->ctx))
    return plr__fail(err, PLR_ERR_LIMIT, "frame", "a payload of %u bytes passes the limit of %llu",
                     f->info.payload_len, (unsigned long long)plr__max_frame(d->ctx));
  PLR_TRY(plr__decode_target(d, &d->feed.target, err));
  PLR_TRY(plr__decode_begin(d, err));
  d->feed.state = PLR_FEED_CHUNKS;
  return PLR_OK;
}

static plr_status take_chunk(plr_decoder *d, const uint8_t *at, size_t len, plr_error *err) {
  plr__decode_job *j = &d->job;
  plr__chunk chunk;
  PLR_TRY(plr__chunk_read(&j->reader, at, len, &chunk, err));
  PLR_TRY(plr__decode_chunk(d, &chunk, err));
  if (!plr__chunk_last(&j->reader)) return PLR_OK;
  if (j->frame.streamed) j->frame.info.payload_len = j->reader.pos;
  PLR_TRY(plr__chunk_done(&j->reader, err));
  plr__decode_end(d);
  d->feed.state = PLR_FEED_DONE;
  return PLR_OK;
}

/* The header or a chunk, if the bytes held and those at `in` make it whole; else they are held. */
static plr_status step(plr_decoder *d, const uint8_t *in, size_t len, size_t *used,
                       plr_error *err) {
  plr__feed *f = &d->feed;
  size_t need;
  *used = 0;
  for (;;) {
    const uint8_t *at = f->len ? f->held : in + *used;
    const size_t have = f->len ? f->len : len - *used;
    PLR_TRY(needed(d, at, have, &need, err));
    if (have >= need) {
      if (!f->len) *used += need;
      f->len = 0;
      return f->state == PLR_FEED_HEADER ? take_header(d, at, need, err)
                                         : take_chunk(d, at, need, err);
    }
    const size_t more = PLR_MIN(len - *used, need - f->len);
    if (more == 0) return PLR_OK;
    memcpy(f->held + f->len, in + *used, more);
    f->len += more, *used += more;
  }
}

plr_status plr_decoder_feed(plr_decoder *d, const void *bytes, size_t len, size_t *used,
                            uint32_t *rows, plr_frame_info *info, plr_error *err) {
  PLR_GUARD(d, err);
  if (!d || (!bytes && len) || !used || !rows)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "decoder", "an argument is NULL");
  plr__feed *f = &d->feed;
  if (f->state != PLR_FEED_HEADER && f->state != PLR_FEED_CHUNKS)
    return plr__fail(err, PLR_ERR_INVALID_STATE, "decoder", "no frame was begun");
  const uint8_t *in = bytes;
  plr_status st = PLR_OK;
  plr_fpenv saved = plr__fpenv_enter();
  *used = 0;
  while (st == PLR_OK && *used < len && f->state != PLR_FEED_DONE) {
    size_t taken;
    st = step(d, in + *used, len - *used, &taken, err);
    *used += taken;
  }
  plr__fpenv_leave(saved);
  if (st != PLR_OK) f->state = PLR_FEED_NONE;
  *rows = f->state == PLR_FEED_HEADER || st != PLR_OK ? 0 : d->job.reader.next_row;
  if (st != PLR_OK || *rows == 0) return st;
  return plr__frame_info_write(info, &d->job.frame.info, err);
}
