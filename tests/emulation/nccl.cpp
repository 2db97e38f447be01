/* NCCL's stand-in: ranks are host threads of one process, each with a device of its own. A collective is an
 * operation of each rank's stream; it runs when all ranks have reached theirs. */
#include "runtime.h"

#include <chrono>
#include <deque>
#include <map>

#include "nccl_api.h"

namespace {

using namespace emulation;

struct gather {
  const void *send;
  void *receive;
  size_t bytes;
  int device;
  bool done;
};

struct group {
  int ranks, joined;
  std::vector<std::deque<std::shared_ptr<gather>>> waiting; /* by rank */
  std::vector<int> devices;
};

std::map<std::string, std::shared_ptr<group>> groups;
unsigned ids;

} // namespace

struct ncclComm {
  std::shared_ptr<group> of;
  int rank;
};

namespace {

bool ranges_ok(const group &g, const gather &x) {
  std::string send = range_error(x.send, x.bytes, x.device);
  std::string receive = range_error(x.receive, x.bytes * size_t(g.ranks), x.device);
  if (!send.empty()) fault("ncclAllGather: what is sent %s", send.c_str());
  if (!receive.empty()) fault("ncclAllGather: what is received %s", receive.c_str());
  return send.empty() && receive.empty();
}

/* Every rank's part into every rank's buffer, when all have come. */
void gather_all(group &g) {
  for (auto &queue : g.waiting)
    if (queue.empty()) return;
  bool ok = true;
  for (auto &queue : g.waiting) {
    if (queue.front()->bytes != g.waiting[0].front()->bytes) {
      fault("ncclAllGather: the ranks disagree on the count");
      ok = false;
    }
    ok = ok && ranges_ok(g, *queue.front());
  }
  std::vector<char> all;
  for (auto &queue : g.waiting) {
    const char *part = static_cast<const char *>(queue.front()->send);
    if (ok) all.insert(all.end(), part, part + queue.front()->bytes);
  }
  for (auto &queue : g.waiting) {
    if (ok) memcpy(queue.front()->receive, all.data(), all.size());
    queue.front()->done = true;
    queue.pop_front();
  }
  progress.notify_all();
}

/* One rank's turn: it comes, and stays until all have been served. */
bool take_part(group &g, int rank, std::shared_ptr<gather> &x, bool &come) {
  if (!come) {
    come = true;
    check_host_read(x->send, x->bytes);
    g.waiting[size_t(rank)].push_back(x);
    gather_all(g);
  }
  if (x->done) check_host_write(x->receive, x->bytes * size_t(g.ranks));
  return x->done;
}

} // namespace

extern "C" {

int ncclGetUniqueId(ncclUniqueId *id) {
  std::lock_guard<std::mutex> hold(lock);
  memset(id, 0, sizeof *id);
  ids++;
  memcpy(id->internal, &ids, sizeof ids);
  return PLR_NCCL_SUCCESS;
}

/* Returns when every rank has called it, as NCCL's does. */
int ncclCommInitRank(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank) {
  std::unique_lock<std::mutex> hold(lock);
  *comm = nullptr;
  if (ranks < 1 || rank < 0 || rank >= ranks) return 4; /* ncclInvalidArgument */
  std::shared_ptr<group> &slot = groups[std::string(id.internal, sizeof id.internal)];
  if (!slot) {
    slot = std::make_shared<group>();
    slot->ranks = ranks;
    slot->joined = 0;
    slot->waiting.resize(size_t(ranks));
  }
  std::shared_ptr<group> g = slot;
  if (g->ranks != ranks) return 4;
  for (int d : g->devices)
    if (d == current_device_number()) return 5; /* ncclInvalidUsage: two ranks on one device */
  g->devices.push_back(current_device_number());
  g->joined++;
  progress.notify_all();
  auto all_here = [&] { return g->joined == ranks; };
  if (!progress.wait_for(hold, std::chrono::seconds(10), all_here)) return 3; /* internal */
  *comm = new ncclComm{g, rank};
  return PLR_NCCL_SUCCESS;
}

int ncclAllGather(const void *send, void *receive, size_t count, int type, ncclComm_t comm,
                  cudaStream_t stream) {
  std::lock_guard<std::mutex> hold(lock);
  if (type != PLR_NCCL_FLOAT32 || !comm) return 4;
  std::shared_ptr<gather> x =
      std::make_shared<gather>(gather{send, receive, count * 4, stream_device(stream), false});
  std::shared_ptr<group> g = comm->of;
  int rank = comm->rank;
  bool come = false;
  enqueue(stream, [g, rank, x, come]() mutable { return take_part(*g, rank, x, come); });
  return PLR_NCCL_SUCCESS;
}

int ncclCommDestroy(ncclComm_t comm) {
  std::lock_guard<std::mutex> hold(lock);
  delete comm;
  return PLR_NCCL_SUCCESS;
}

const char *ncclGetErrorString(int result) {
  switch (result) {
  case PLR_NCCL_SUCCESS:
    return "no error";
  case 4:
    return "invalid argument";
  case 5:
    return "invalid usage";
  default:
    return "internal error";
  }
}
}
