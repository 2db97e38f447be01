/* Line charts as inline SVG: linear or logarithmic x, direct labels at the line ends, colours
 * from the page's style sheet (so that they follow its light and dark themes). */
#ifndef EXAMPLES_CHART_H
#define EXAMPLES_CHART_H

#include "strbuf.h"

struct chart_series {
  const char *color; /* CSS colour, usually a variable of the page */
  const char *label; /* at the end of the line; NULL: none */
  const double *x, *y;
  size_t count;
  int thin; /* background line without markers */
};

struct chart {
  const char *id;    /* unique in the page */
  const char *title; /* for screen readers */
  const char *x_title, *y_title;
  int log_x, x_bytes; /* ticks at 1-2-5 of each decade; ticks written as bytes */
  double y_max;       /* lines above are cut off; 0: from the data */
  const struct chart_series *series;
  size_t series_count;
  double reference; /* a dashed horizontal line; NAN: none */
  const char *reference_label;
};

void chart_draw(struct strbuf *out, const struct chart *chart);

/* The 1, 2 or 5 times a power of ten that cuts `span` into about `count` steps. */
double chart_nice_step(double span, int count);

#endif
