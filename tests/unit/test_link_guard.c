/* Two threads on one link (see test_base_guard.c). */
#include "guard_test.h"

#include "exchange/link_int.h"

#ifdef NDEBUG

int main(void) {
  return no_guards_main();
}

#else

static const uint8_t seed[32] = {7};

static void test_link(void **state) {
  (void)state;
  kept k;
  plr_context *ctx = kept_context(&k);
  plr_identity *identity;
  plr_link_options o;
  plr_link *link;
  plr_link_event event;
  plr_link_stats stats = {0};
  standing s;
  pthread_t thread;
  uint8_t buf[64] = {0}, key[32];
  size_t n = 7;
  uint64_t bytes;
  assert_int_equal(plr_identity_create(ctx, seed, &identity, NULL), PLR_OK);
  plr_link_options_init(&o, sizeof o);
  assert_int_equal(plr_link_create(ctx, identity, &o, &link, NULL), PLR_OK);
  const char *inside = "plr_link_receive";
  stand_inside(&s, &link->guard, inside, &thread);
  REFUSED(plr_link_receive(link, 1, buf, sizeof buf), "plr_link_receive", inside);
  REFUSED(plr_link_transmit(link, 1, buf, sizeof buf, &n), "plr_link_transmit", inside);
  assert_int_equal(n, 0);
  REFUSED(plr_link_send(link, buf, sizeof buf, 0), "plr_link_send", inside);
  REFUSED(plr_link_advance(link, 1), "plr_link_advance", inside);
  REFUSED(plr_link_next_event(link, &event), "plr_link_next_event", inside);
  REFUSED(plr_link_get_stats(link, &stats), "plr_link_get_stats", inside);
  REFUSED(plr_link_resume(link, 1, seed), "plr_link_resume", inside);
  REFUSED(plr_link_budget(link, 1, &bytes), "plr_link_budget", inside);
  plr_link_close(link, PLR_ERR_CLOSED);
  assert_line(&k, "plr_link_close", inside);
  plr_link_peer_key(link, key);
  assert_line(&k, "plr_link_peer_key", inside);
  plr_link_next_deadline_ns(link);
  assert_line(&k, "plr_link_next_deadline_ns", inside);
  plr_link_destroy(link);
  assert_line(&k, "plr_link_destroy", inside);
  stand_end(&s, thread);
  assert_int_equal(plr_link_transmit(link, 1, buf, sizeof buf, &n), PLR_OK);
  assert_true(n > 0); /* not closed */
  plr_link_destroy(link);
  plr_identity_destroy(identity);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_link)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
