/* Signed notes, checkpoints and verifier keys: a note that opens has a text before its signatures. */
#include "ledger/ledger_int.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char vkey[] =
      "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
  char name[PLR__MAX_ORIGIN + 1];
  uint8_t key[32];
  size_t text = 0;
  uint64_t entries;
  plr_hash root;
  if (plr__vkey_parse(vkey, name, key) != PLR_OK) abort();
  if (plr__note_open((const char *)data, size, name, key, &text, NULL) == PLR_OK &&
      (text == 0 || text >= size || data[text - 1] != '\n'))
    abort();
  (void)plr_log_verify_checkpoint((const char *)data, size, name, key, &entries, &root, NULL);
  char *line = malloc(size + 1); /* a verifier key is a string */
  if (!line) return 0;
  memcpy(line, data, size);
  line[size] = 0;
  (void)plr__vkey_parse(line, name, key);
  free(line);
  return 0;
}
