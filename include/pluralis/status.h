/* libpluralis: status codes.
 *
 * One table (PLR_STATUS_TABLE) is the only source of codes, names and texts. A status is a negative
 * 32-bit integer; its range says what the caller should do:
 *
 *      0              success
 *     -1 ..  -99      the caller's fault: the object is unchanged, correct the call
 *   -100 .. -199      the environment: memory, disk, device; retrying later may work
 *   -200 .. -299      bad data from a peer or a file: drop that frame, link, entry or file
 *   -300 .. -399      fatal for the object: the only legal call left is its destroy function
 *
 * Numbers are stable for ever; new codes are only appended inside their range.
 */
#ifndef PLURALIS_STATUS_H
#define PLURALIS_STATUS_H

/* X(name, number, text) */
#define PLR_STATUS_TABLE(X)                                                                        \
  X(PLR_OK, 0, "success")                                                                          \
  X(PLR_ERR_INVALID_ARGUMENT, -1, "invalid argument")                                              \
  X(PLR_ERR_INVALID_STATE, -2, "call not allowed in the object's present state")                   \
  X(PLR_ERR_UNSUPPORTED, -3, "not supported by this build, device or version")                     \
  X(PLR_ERR_LIMIT, -4, "a configured limit would be exceeded")                                     \
  X(PLR_ERR_EXISTS, -5, "already there; nothing changed")                                          \
  X(PLR_ERR_NOT_FOUND, -6, "not found")                                                            \
  X(PLR_ERR_AGAIN, -7, "not now: a queue is full or nothing is ready yet")                         \
  X(PLR_ERR_BUFFER_TOO_SMALL, -8, "the buffer is too small; the needed size was reported")         \
  X(PLR_ERR_SHAPE, -9, "tensor shape, stride or dtype does not fit")                               \
  X(PLR_ERR_NO_MEMORY, -100, "out of memory")                                                      \
  X(PLR_ERR_IO, -101, "input/output error")                                                        \
  X(PLR_ERR_NO_SPACE, -102, "no space left on the device")                                         \
  X(PLR_ERR_UNAVAILABLE, -103, "device or resource not available")                                 \
  X(PLR_ERR_MALFORMED, -200, "malformed data")                                                     \
  X(PLR_ERR_TRUNCATED, -201, "data ends too early")                                                \
  X(PLR_ERR_CHECKSUM, -202, "checksum or hash mismatch")                                           \
  X(PLR_ERR_VERSION, -203, "version of the data is not supported")                                 \
  X(PLR_ERR_MISMATCH, -204, "the two sides disagree (model, profile, key or shape)")               \
  X(PLR_ERR_SIGNATURE, -205, "signature does not verify")                                          \
  X(PLR_ERR_SEQUENCE, -206, "out of sequence, repeated or stale")                                  \
  X(PLR_ERR_NON_FINITE, -207, "a NaN or an infinity where a finite number is required")            \
  X(PLR_ERR_PROOF, -208, "proof does not verify")                                                  \
  X(PLR_ERR_CLOSED, -209, "the peer is gone")                                                      \
  X(PLR_ERR_CORRUPT, -300, "stored state is corrupt")                                              \
  X(PLR_ERR_CONSERVATION, -301, "an accounting identity is broken")                                \
  X(PLR_ERR_INTERNAL, -302, "internal error")

/* What every function that can fail returns. */
typedef enum plr_status {
#define PLR_STATUS_ENUM(name, number, text) name = number,
  PLR_STATUS_TABLE(PLR_STATUS_ENUM)
#undef PLR_STATUS_ENUM
  PLR_STATUS_FORCE_INT32 = 0x7fffffff
} plr_status;

#endif
