/* Finds, loads and checks a device plugin. dladdr is a GNU and BSD function. */
#define _GNU_SOURCE
#include "backend/plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PLUGIN_FILE "libpluralis-cuda.so"
#define MAX_PATH    1024

static void host_log(plr_context *ctx, uint32_t level, const char *module, const char *line) {
  plr__log(ctx, level, module, "%s", line);
}

/* So that the compiler does not hold the plugin to the attributes of our declaration. */
static void *host_alloc(plr_context *ctx, size_t size) {
  return plr__alloc(ctx, size);
}

static const plr_plugin_host host = {
    .struct_size = (uint32_t)sizeof(plr_plugin_host),
    .api_version = PLR_DEVICE_API,
    .alloc = host_alloc,
    .free = plr__free,
    .context_ref = plr__context_ref,
    .context_unref = plr__context_unref,
    .log = host_log,
};

/* "cuda", "cuda:1", "cuda:PATH", "cuda:1:PATH". */
static plr_status parse_name(const char *name, uint32_t *ordinal, const char **path,
                             plr_error *err) {
  const char *p = name + strlen("cuda");
  uint64_t number = 0;
  *path = NULL;
  if (*p == ':' && p[1] >= '0' && p[1] <= '9' && strspn(p + 1, "0123456789") <= 4) {
    for (p++; *p >= '0' && *p <= '9'; p++) number = number * 10 + (uint64_t)(*p - '0');
  }
  if (*p == ':' && strchr(p, '/')) {
    *path = p + 1;
    p += strlen(p);
  }
  *ordinal = (uint32_t)number;
  if (*p == '\0' && (!*path || strlen(*path) < MAX_PATH)) return PLR_OK;
  return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "device",
                   "\"%.64s\" is none of cuda, cuda:N, cuda:PATH, cuda:N:PATH", name);
}

static plr_status check_plugin(void *handle, const char *path, const plr_device_plugin **out,
                               plr_error *err) {
  plr_device_plugin_fn get = NULL;
  void *symbol = dlsym(handle, PLR_PLUGIN_SYMBOL);
  memcpy(&get, &symbol, sizeof get); /* ISO C has no cast from an object to a function */
  const plr_device_plugin *p = get ? get() : NULL;
  if (!p)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, "device",
                     "%.160s is not a device plugin: no " PLR_PLUGIN_SYMBOL, path);
  if (p->api_version != PLR_DEVICE_API)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, "device",
                     "%.120s is built for device API %u, this library has %u", path,
                     (unsigned)p->api_version, (unsigned)PLR_DEVICE_API);
  if (p->struct_size < sizeof *p)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, "device",
                     "%.120s: its plugin struct has %u bytes, not %u", path,
                     (unsigned)p->struct_size, (unsigned)sizeof *p);
  *out = p;
  return PLR_OK;
}

static plr_status load_file(const char *path, const plr_device_plugin **out, plr_error *err) {
  if (access(path, F_OK) != 0)
    return plr__fail(err, PLR_ERR_NOT_FOUND, "device", "no file %.200s", path);
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char *why = dlerror();
    return plr__fail(err, PLR_ERR_UNAVAILABLE, "device", "%.200s", why ? why : path);
  }
  plr_status st = check_plugin(handle, path, out, err);
  if (st != PLR_OK) dlclose(handle);
  return st;
}

/* The folder of the library, or of the program it is linked into; 0 when it cannot be told. */
static int own_folder(char folder[MAX_PATH]) {
  Dl_info info;
  if (!dladdr(&host, &info) || !info.dli_fname) return 0;
  const char *slash = strrchr(info.dli_fname, '/');
  if (!slash || slash - info.dli_fname >= MAX_PATH) return 0;
  memcpy(folder, info.dli_fname, (size_t)(slash - info.dli_fname));
  folder[slash - info.dli_fname] = '\0';
  return 1;
}

static plr_status load_from(const char *folder, const char *below, const plr_device_plugin **out,
                            plr_error *err) {
  char path[MAX_PATH + 64];
  snprintf(path, sizeof path, "%s%s/%s", folder, below, PLUGIN_FILE);
  return load_file(path, out, err);
}

/* The first place that has the file: one that is there but refused ends the search. */
static plr_status load_default(const plr_device_plugin **out, plr_error *err) {
  char folder[MAX_PATH];
  plr_status st = PLR_ERR_NOT_FOUND;
  int known = own_folder(folder);
  if (known) st = load_from(folder, "/pluralis", out, err);
  if (known && st == PLR_ERR_NOT_FOUND) st = load_from(folder, "", out, err);
  if (st == PLR_ERR_NOT_FOUND) st = load_from(PLR_PLUGIN_DIR, "", out, err);
  if (st != PLR_ERR_NOT_FOUND) return st;
  if (!known) return plr__fail(err, st, "device", "no " PLUGIN_FILE " in %.190s", PLR_PLUGIN_DIR);
  return plr__fail(err, st, "device", "no " PLUGIN_FILE " in %.90s (and pluralis below it), %.90s",
                   folder, PLR_PLUGIN_DIR);
}

plr_status plr__plugin_load(const char *name, const plr_device_plugin **out, uint32_t *ordinal,
                            plr_error *err) {
  const char *path;
  *out = NULL;
  PLR_TRY(parse_name(name, ordinal, &path, err));
  return path ? load_file(path, out, err) : load_default(out, err);
}

plr_status plr__plugin_open(plr_context *ctx, const char *name, plr_device **out, plr_error *err) {
  const plr_device_plugin *plugin;
  uint32_t ordinal;
  *out = NULL;
  PLR_TRY(plr__plugin_load(name, &plugin, &ordinal, err));
  return plugin->open(&host, ctx, ordinal, out, err);
}
