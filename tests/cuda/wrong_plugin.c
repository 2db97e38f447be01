/* Plugins the loader must refuse: WRONG_API, WRONG_SIZE, NO_PLUGIN, NO_SYMBOL. */
#include "backend/plugin.h"

#if defined(NO_SYMBOL)
#define FUNCTION another_function
#else
#define FUNCTION plr_device_plugin_v1
#endif

const plr_device_plugin *FUNCTION(void);

__attribute__((visibility("default"))) const plr_device_plugin *FUNCTION(void) {
#if defined(NO_PLUGIN)
  return 0;
#else
  static plr_device_plugin plugin;
  plugin.name = "wrong";
  plugin.struct_size = (uint32_t)sizeof plugin;
  plugin.api_version = PLR_DEVICE_API;
#if defined(WRONG_SIZE)
  plugin.struct_size = 16;
#elif defined(WRONG_API)
  plugin.api_version++;
#endif
  return &plugin;
#endif
}
