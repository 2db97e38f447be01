/* libpluralis: everything. The reading order is the data path. */
#ifndef PLURALIS_PLURALIS_H
#define PLURALIS_PLURALIS_H

#include <pluralis/base.h>
#include <pluralis/identity.h>
#include <pluralis/io.h>
#include <pluralis/tensor.h>

#include <pluralis/model.h>

#include <pluralis/weights.h>

#include <pluralis/shard.h>

#include <pluralis/generate.h>

#include <pluralis/exchange.h>
#include <pluralis/link.h>

#include <pluralis/stage.h>

#include <pluralis/plan.h>

#include <pluralis/ledger.h>
#include <pluralis/entries.h>
#include <pluralis/settlement.h>
#include <pluralis/tlog.h>

#include <pluralis/mirror.h>

#endif
