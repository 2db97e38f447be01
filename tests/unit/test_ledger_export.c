/* Export and verify: the round trip, and every way in which a file can be other than what was signed. */
#include "ledger_kit.h"

static void round_trip(void **state) {
  (void)state;
  kit k;
  kit_file f = {0};
  kit_init(&k, 2);
  kit_open(&k, NULL);
  kit_story(&k);
  kit_export(&k, &f);
  plr_ledger_summary ours = kit_summary(k.ledger), theirs = {.struct_size = sizeof theirs};
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status st = kit_verify(&k, &f, 0, &theirs, &err);
  if (st != PLR_OK) fail_msg("%s: %s", err.where, err.message);
  assert_memory_equal(&ours, &theirs, sizeof ours);
  assert_int_equal(ours.entries, 1 + 7 + 1 + 24 + 3 + 3);
  assert_int_equal(ours.receipts, 24);
  assert_int_equal(ours.epoch, 3);
  free(f.data);
  kit_done(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(round_trip),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
