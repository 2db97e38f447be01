/* A wide-area network between network namespaces, in user space: a TUN device in each, and this process as the
 * routers between them. The kernels tests run on rarely have netem; this needs /dev/net/tun and CAP_NET_ADMIN only.
 *
 *   wan PREFIX COUNT [MTU]
 *
 * makes a device wan0 with the address 10.99.0.<i+1> in every namespace PREFIX<i>, which exist already, says "ready",
 * and then forwards packets. What a node sends goes through its uplink (rate, and a queue of 200 ms that drops at its
 * end), is lost with a probability, and arrives a delay later. Orders come on standard input, one a line; I is a
 * node or "all":
 *
 *   rate I MBIT       0: no limit        delay I MS      one way       loss I PART      0 to 1
 *   down I            nothing in or out  up I                          stats            a line for each node
 *
 * It ends with its standard input. Losses come from a fixed seed; times are the machine's. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define MOST_NODES  64
#define MOST_PACKET 65536
#define QUEUE_NS    200000000.0
#define NEVER       UINT64_MAX

struct packet {
  struct packet *next;
  uint64_t due_ns;
  unsigned to;
  size_t len;
  uint8_t bytes[];
};

/* Packets of a node leave it in order, so its uplink is one list. */
struct node {
  int fd, is_down;
  double ns_per_byte, loss;
  uint64_t delay_ns, busy_until_ns;
  struct packet *head, *tail;
  uint64_t sent, lost, dropped, bytes;
};

static struct node nodes[MOST_NODES];
static unsigned count;
static uint64_t random_state = 0x9e3779b97f4a7c15ull;

static void die(const char *what) {
  fprintf(stderr, "wan: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* splitmix64 (Steele, Lea and Flood 2014), as a number from 0 to 1. */
static double chance(void) {
  uint64_t z = random_state += 0x9e3779b97f4a7c15ull;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* ---- devices
 * ---------------------------------------------------------------------------------- */

static void run(const char *format, unsigned node, unsigned mtu) {
  char line[256];
  snprintf(line, sizeof line, format, node, mtu);
  if (system(line) != 0) die(line);
}

static void open_node(const char *prefix, unsigned i, unsigned mtu) {
  char path[128];
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI, .ifr_name = "wan0"};
  snprintf(path, sizeof path, "/run/netns/%s%u", prefix, i);
  int there = open(path, O_RDONLY | O_CLOEXEC);
  if (there < 0 || setns(there, CLONE_NEWNET) != 0) die(path);
  close(there);
  nodes[i].fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (nodes[i].fd < 0 || ioctl(nodes[i].fd, TUNSETIFF, &request) != 0) die("/dev/net/tun");
  run("ip addr add 10.99.0.%u/24 dev wan0", i + 1, 0);
  run("ip link set lo up; ip link set wan0 txqueuelen %u mtu %u up", 10000, mtu);
}

/* ---- packets
 * ---------------------------------------------------------------------------------- */

static void take(unsigned from, const uint8_t *bytes, size_t len, uint64_t now) {
  struct node *n = &nodes[from];
  unsigned to = bytes[19] - 1u;
  if (bytes[0] >> 4 != 4 || to >= count || to == from) return;
  n->sent++;
  if (n->is_down || nodes[to].is_down) {
    n->lost++;
    return;
  }
  if (n->busy_until_ns < now) n->busy_until_ns = now;
  if ((double)(n->busy_until_ns - now) > QUEUE_NS) {
    n->dropped++;
    return;
  }
  n->busy_until_ns += (uint64_t)((double)len * n->ns_per_byte);
  if (n->loss > 0 && chance() < n->loss) {
    n->lost++;
    return;
  }
  struct packet *p = malloc(sizeof *p + len);
  if (!p) die("malloc");
  *p = (struct packet){.due_ns = n->busy_until_ns + n->delay_ns, .to = to, .len = len};
  if (n->tail && p->due_ns < n->tail->due_ns)
    p->due_ns = n->tail->due_ns; /* the delay has become less */
  memcpy(p->bytes, bytes, len);
  if (n->tail)
    n->tail->next = p;
  else
    n->head = p;
  n->tail = p;
  n->bytes += len;
}

static void read_node(unsigned i) {
  static uint8_t bytes[MOST_PACKET];
  const uint64_t now = now_ns();
  for (int k = 0; k < 128; k++) {
    ssize_t got = read(nodes[i].fd, bytes, sizeof bytes);
    if (got < 20) return;
    take(i, bytes, (size_t)got, now);
  }
}

/* Delivers what is due; when the next is. */
static uint64_t deliver(void) {
  const uint64_t now = now_ns();
  uint64_t next = NEVER;
  for (unsigned i = 0; i < count; i++) {
    struct packet *p;
    while ((p = nodes[i].head) && p->due_ns <= now) {
      /* A full device loses it, as a router would. */
      if (!nodes[p->to].is_down && write(nodes[p->to].fd, p->bytes, p->len) < 0) nodes[i].dropped++;
      nodes[i].head = p->next;
      if (!p->next) nodes[i].tail = NULL;
      free(p);
    }
    if (p && p->due_ns < next) next = p->due_ns;
  }
  return next;
}

/* ---- orders
 * ----------------------------------------------------------------------------------- */

static int set(struct node *n, const char *what, double value) {
  if (strcmp(what, "rate") == 0)
    n->ns_per_byte = value > 0 ? 8000 / value : 0;
  else if (strcmp(what, "delay") == 0)
    n->delay_ns = (uint64_t)(value * 1e6);
  else if (strcmp(what, "loss") == 0)
    n->loss = value;
  else if (strcmp(what, "down") == 0)
    n->is_down = 1;
  else if (strcmp(what, "up") == 0)
    n->is_down = 0;
  else
    return -1;
  return 0;
}

static void obey(const char *line) {
  char what[16], who[16];
  double value = 0;
  if (strncmp(line, "stats", 5) == 0) {
    for (unsigned i = 0; i < count; i++)
      printf("node %u sent %llu lost %llu dropped %llu bytes %llu\n", i,
             (unsigned long long)nodes[i].sent, (unsigned long long)nodes[i].lost,
             (unsigned long long)nodes[i].dropped, (unsigned long long)nodes[i].bytes);
    printf("end\n");
    return;
  }
  int fields = sscanf(line, "%15s %15s %lf", what, who, &value);
  int bad = fields < 2;
  for (unsigned i = 0; i < count && !bad; i++)
    if (strcmp(who, "all") == 0 || (unsigned)atoi(who) == i) bad = set(&nodes[i], what, value) != 0;
  printf(bad ? "what?\n" : "ok\n");
}

/* 0 at the end of standard input. Orders are short, and the peer waits for the answer of each. */
static int read_orders(void) {
  static char text[4096];
  static size_t len;
  char *end;
  ssize_t got = read(0, text + len, sizeof text - 1 - len);
  if (got <= 0) return 0;
  text[len += (size_t)got] = 0;
  while ((end = strchr(text, '\n'))) {
    *end = 0;
    obey(text);
    len -= (size_t)(end + 1 - text);
    memmove(text, end + 1, len + 1);
  }
  fflush(stdout);
  return len < sizeof text - 1;
}

int main(int argc, char **argv) {
  struct pollfd polled[MOST_NODES + 1];
  count = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
  if (count < 2 || count > MOST_NODES) {
    fprintf(stderr, "usage: wan PREFIX COUNT [MTU]; 2 <= COUNT <= %d\n", MOST_NODES);
    return 2;
  }
  prctl(PR_SET_TIMERSLACK, 1); /* delays are exact to some 50 us instead of 100 */
  for (unsigned i = 0; i < count; i++)
    open_node(argv[1], i, argc > 3 ? (unsigned)atoi(argv[3]) : 1500);
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    const uint64_t next = deliver(), now = now_ns();
    uint64_t wait = next == NEVER ? 1000000000ull : next > now ? next - now : 0;
    struct timespec time = {(time_t)(wait / 1000000000ull), (long)(wait % 1000000000ull)};
    for (unsigned i = 0; i < count; i++) polled[i] = (struct pollfd){nodes[i].fd, POLLIN, 0};
    polled[count] = (struct pollfd){0, POLLIN, 0};
    if (ppoll(polled, count + 1, &time, NULL) < 0 && errno != EINTR) die("poll");
    for (unsigned i = 0; i < count; i++)
      if (polled[i].revents & POLLIN) read_node(i);
    if (polled[count].revents && !read_orders()) return 0;
  }
}
