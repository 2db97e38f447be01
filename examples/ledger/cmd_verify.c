#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "format.h"

static void show(void *user, uint64_t done, uint64_t total) {
  progress_show(user, done, total, 0);
}

static int verify_log(struct cli *c, const struct vkey *key) {
  plr_source source;
  plr_verify_options o;
  plr_ledger_summary s = {.struct_size = sizeof s};
  struct progress p;
  char a[FORMAT_CAP], b[FORMAT_CAP], hex[65];
  plr_status st = plr_source_open_path(c->ctx, c->o.log, &source, &c->err);
  if (st != PLR_OK) return cli_failed(c, c->o.log, st);
  plr_verify_options_init(&o, sizeof o);
  progress_begin(&p, "verify", c);
  o.origin = key->name, o.public_key = key->key, o.skip_signatures = (uint32_t)c->o.trust;
  o.progress = show, o.user = &p;
  st = plr_ledger_verify(c->ctx, &source, &o, &s, &c->err);
  source.close(source.user);
  progress_end(&p);
  if (st != PLR_OK) return cli_failed(c, c->o.log, st);
  double seconds = seconds_now() - p.began;
  if (c->o.json) {
    struct json j = {0};
    json_open(&j, NULL, '{');
    json_text(&j, "verified", "log"), json_text(&j, "origin", key->name);
    json_number(&j, "entries", s.entries), json_number(&j, "rejected", s.rejected);
    json_number(&j, "deposited", s.deposited), json_number(&j, "paid", s.paid);
    json_hex(&j, "root", s.root.bytes, 32), json_hex(&j, "state_root", s.state_root.bytes, 32);
    json_number(&j, "milliseconds", (uint64_t)(seconds * 1000));
    json_close(&j, '}');
    json_print(&j);
    return 0;
  }
  printf("%s entries of %s hold%s\nroot        %s\n", format_count(a, s.entries), key->name,
         c->o.trust ? ", signatures of entries not looked at" : "",
         format_hex(hex, sizeof hex, s.root.bytes, 32));
  printf("state root  %s\n%s, %s entries a second\n",
         format_hex(hex, sizeof hex, s.state_root.bytes, 32), format_duration(a, seconds),
         format_short(b, (double)s.entries / (seconds > 0 ? seconds : 1)));
  return 0;
}

static int verify_files(struct cli *c, const plr_proof_policy *policy, const char *proof,
                        size_t proof_len, const uint8_t *entry, size_t entry_len) {
  static char text[1u << 20];
  uint64_t index, size;
  size_t len;
  plr_status st = plr_log_verify_proof(c->ctx, proof, proof_len, entry, entry_len, policy, &index,
                                       &size, &c->err);
  if (st != PLR_OK) return cli_failed(c, c->o.proof, st);
  st = plr_entry_json(c->ctx, entry, entry_len, text, sizeof text - 1, &len, &c->err);
  if (st != PLR_OK) return cli_failed(c, c->o.entry, st);
  text[len] = 0;
  if (c->o.json) {
    struct json j = {0};
    json_open(&j, NULL, '{');
    json_text(&j, "verified", "proof"), json_number(&j, "index", index),
        json_number(&j, "size", size);
    json_raw(&j, "entry", text, len);
    json_close(&j, '}');
    json_print(&j);
  } else {
    printf("entry %llu of the %llu that %s had then, signed%s:\n%s\n", (unsigned long long)index,
           (unsigned long long)size, policy->origin, policy->quorum ? " and witnessed" : "", text);
  }
  return 0;
}

static int verify_proof(struct cli *c, const struct vkey *key) {
  struct vkey names[CLI_WITNESSES];
  plr_witness_key keys[CLI_WITNESSES];
  plr_proof_policy policy;
  void *proof, *entry;
  size_t proof_len, entry_len;
  if (!c->o.entry) return cli_fail(c, "--entry is needed: the entry that is proven");
  plr_proof_policy_init(&policy, sizeof policy);
  CLI_TRY(cli_witnesses(c, names, keys, &policy.witness_count));
  policy.origin = key->name, policy.public_key = key->key;
  policy.witnesses = keys, policy.quorum = (uint32_t)c->o.quorum;
  CLI_TRY(cli_read_file(c, c->o.proof, 1u << 20, &proof, &proof_len));
  int result = cli_read_file(c, c->o.entry, PLR_ENTRY_MAX, &entry, &entry_len);
  if (result == 0) {
    result = verify_files(c, &policy, proof, proof_len, entry, entry_len);
    free(entry);
  }
  free(proof);
  return result;
}

static int run(struct cli *c) {
  struct vkey key;
  if (!c->o.log == !c->o.proof) return cli_fail(c, "one of --log and --proof is needed");
  CLI_TRY(cli_log_key(c, &key));
  return c->o.log ? verify_log(c, &key) : verify_proof(c, &key);
}

static const struct arg_spec specs[] = {
    {"log", "FILE", ARG_TEXT, AT(log), 0, 0, "an export of a whole ledger: replayed from nothing"},
    {"proof", "FILE", ARG_TEXT, AT(proof), 0, 0, "a .tlog-proof ..."},
    {"entry", "FILE", ARG_TEXT, AT(entry), 0, 0, "... and the entry that it proves"},
    OPT_VKEY,
    OPT_WITNESS,
    OPT_QUORUM,
    {"trust", NULL, ARG_FLAG, AT(trust), 0, 0,
     "believe the signatures of entries; the log's are checked always"},
    {"quiet", NULL, ARG_FLAG, AT(quiet), 0, 0, "no bar"},
    OPT_THREADS,
    OPT_JSON,
    OPT_HELP,
};

const struct command command_verify = {
    "verify", "check an exported ledger, or a proof, against a verifier key; offline",
    "  A log is believed in nothing: every entry is replayed, every state root in it compared, "
    "every balance added up.\n",
    COMMAND_SPECS(specs), run};
