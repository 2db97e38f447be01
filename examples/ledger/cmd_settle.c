#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "format.h"

#define MOST_LEAVES (1u << 20)

static void leaf_json(struct json *j, const plr_settlement_leaf *l, const plr_hash *proof,
                      uint32_t count) {
  json_open(j, NULL, '{');
  json_hex(j, "account", l->account, 20), json_hex(j, "reward", l->reward, 20);
  json_hex(j, "claimable", l->claimable, 32);
  json_open(j, "proof", '[');
  for (uint32_t i = 0; i < count; i++) json_hex(j, NULL, proof[i].bytes, 32);
  json_close(j, ']');
  json_close(j, '}');
}

/* Every leaf with its proof, which whoever claims on the chain hands to the contract. */
static int report(struct cli *c, const plr_settlement_leaf *leaves, size_t count,
                  const plr_hash *root, uint64_t index) {
  struct json j = {0};
  struct table t;
  char hex[65];
  if (c->o.json) {
    json_open(&j, NULL, '{');
    json_number(&j, "index", index), json_hex(&j, "root", root->bytes, 32);
    json_open(&j, "leaves", '[');
  } else {
    printf("entry %llu: root 0x%s over %zu addresses\n", (unsigned long long)index,
           format_hex(hex, sizeof hex, root->bytes, 32), count);
    table_begin(&t, "<>>", (const char *const[]){"address", "claimable (hex)", "proof"});
  }
  for (size_t i = 0; i < count; i++) {
    plr_hash proof[PLR_PROOF_MAX];
    uint32_t n;
    plr_status st = plr_settlement_prove(c->ctx, leaves, count, i, proof, &n, &c->err);
    if (st == PLR_OK) st = plr_settlement_verify(&leaves[i], proof, n, root);
    if (st != PLR_OK) return cli_failed(c, "proof", st);
    if (c->o.json) {
      leaf_json(&j, &leaves[i], proof, n);
      continue;
    }
    table_cell(&t, "0x%s", format_hex(hex, sizeof hex, leaves[i].account, 20));
    format_hex(hex, sizeof hex, leaves[i].claimable, 32);
    size_t zeros = strspn(hex, "0");
    table_cell(&t, "0x%s", hex + (zeros < 64 ? zeros : 63)), table_cell(&t, "%u hashes", n);
  }
  if (c->o.json) {
    json_close(&j, ']'), json_close(&j, '}');
    json_print(&j);
  } else {
    table_print(&t);
  }
  return 0;
}

static int run(struct cli *c) {
  uint8_t reward[20];
  plr_hash root;
  uint64_t index;
  size_t count;
  CLI_TRY(cli_address(c, "reward", c->o.reward, reward));
  CLI_TRY(cli_open(c, 1));
  plr_status st =
      plr_ledger_settle(c->ledger, reward, (uint32_t)c->o.scale, &root, &index, &c->err);
  if (st != PLR_OK) return cli_failed(c, "settle", st);
  plr_settlement_leaf *leaves = must_alloc(MOST_LEAVES, sizeof *leaves);
  st = plr_ledger_settlement_leaves(c->ledger, reward, (uint32_t)c->o.scale, 0, leaves, MOST_LEAVES,
                                    &count);
  int result = st == PLR_OK ? report(c, leaves, count, &root, index) : cli_failed(c, "leaves", st);
  free(leaves);
  return result;
}

static const struct arg_spec specs[] = {
    OPT_DIR,
    {"reward", "0x...", ARG_TEXT, AT(reward), 0, 0, "token that is paid out, its address"},
    {"scale", "N", ARG_COUNT, AT(scale), 0, 18,
     "10^N of the token's units are one of ours (default 0)"},
    OPT_JSON,
    OPT_HELP,
};

const struct command command_settle = {
    "settle", "put the root of all claims to addresses into the log, for a contract",
    "  The tree is OpenZeppelin's StandardMerkleTree of (account, reward, claimable), as Morpho's "
    "distributor takes it;\n"
    "  claimable is cumulative, so posting a root twice pays nobody twice. Claims name an address: "
    "append --kind claim\n"
    "  --address.\n",
    COMMAND_SPECS(specs), run};
