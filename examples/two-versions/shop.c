/* Written for version 1. */
#include <stdio.h>
const char* pricing_version(void);
int total_cents(int cents);
int main(void) {
  printf("Content-Type: text/plain\n\nshop: 1000 cents are %d with tax (library %s)\n", total_cents(1000), pricing_version());
  return 0;
}
