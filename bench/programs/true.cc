// The program that the start benchmarks run: it does nothing, so that what is measured is the engine.
int main() {
  return 0;
}
