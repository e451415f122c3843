#include <fusion/fusion.h>
#include <stdio.h>

int main(void) {
  printf("fusion %s\n", fusion_version());
  return 0;
}
