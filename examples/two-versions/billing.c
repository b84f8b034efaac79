/* Written for version 2. */
#include <stdio.h>
const char* pricing_version(void);
int total_cents(int cents, int per_mille);
int main(void) {
  printf("Content-Type: text/plain\n\nbilling: 1000 cents are %d with tax (library %s)\n", total_cents(1000, 70),
         pricing_version());
  return 0;
}
