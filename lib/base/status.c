/* Names and texts of the status codes, from the one table. */
#include "base/base.h"

uint32_t plr_version(void) {
  return (uint32_t)PLR_VERSION_MAJOR << 16 | (uint32_t)PLR_VERSION_MINOR << 8 |
         (uint32_t)PLR_VERSION_PATCH;
}

const char *plr_status_name(plr_status status) {
  switch ((int32_t)status) {
#define PLR_STATUS_NAME(name, number, text)                                                        \
  case number:                                                                                     \
    return #name;
    PLR_STATUS_TABLE(PLR_STATUS_NAME)
#undef PLR_STATUS_NAME
  default:
    return "PLR_ERR_UNKNOWN";
  }
}

const char *plr_status_message(plr_status status) {
  switch ((int32_t)status) {
#define PLR_STATUS_TEXT(name, number, text)                                                        \
  case number:                                                                                     \
    return text;
    PLR_STATUS_TABLE(PLR_STATUS_TEXT)
#undef PLR_STATUS_TEXT
  default:
    return "unknown status";
  }
}
