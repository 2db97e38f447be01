/* codec.html: error against bits a value of every codec, with the rate-distortion bound of a Gaussian drawn. */
#ifndef CODEC_REPORT_H
#define CODEC_REPORT_H

typedef struct report_point {
  char name[48];
  int ours;
  double bits, db;
} report_point;

typedef struct report_panel {
  char title[128];
  double bound_offset; /* the bound is 6.0206 bits + this; a NaN: not drawn */
  report_point *points;
  unsigned count;
} report_panel;

/* 0 when the file was written. */
int codec_report(const char *path, const report_panel *panels, unsigned count);

#endif
