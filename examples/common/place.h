/* Where the processes of a run are on the network.
 *
 * All on the loopback device, unless namespaces are named: with the prefix "wan" process 0 (the parent) is in the
 * network namespace wan0, the stage s in wan<s+1>, as machines of their own; process i has the address
 * 10.99.0.<i+1> there. tests/net/wan.c emulates the wide-area network between them. */
#ifndef EXAMPLES_PLACE_H
#define EXAMPLES_PLACE_H

#include <stdint.h>

#define PLACE_MAX_PREFIX 32

struct place {
  char netns[PLACE_MAX_PREFIX + 16]; /* "": the one the process is in anyway */
  char address[16];                  /* IPv4 */
};

/* Place of a process; prefix NULL or "": the loopback device. */
struct place place_of(const char *prefix, uint64_t process);

/* The calling thread moves there; the sockets it makes from now on are there. *back takes what place_leave needs, NULL
 * to stay for good. 0, or a negative libuv error. */
int place_enter(const struct place *place, int *back);
void place_leave(int back);

#endif
