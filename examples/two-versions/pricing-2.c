/* Version 2 changed the function's meaning under the same name: the caller passes the tax rate per mille. */
const char* pricing_version(void) { return "2"; }
int total_cents(int cents, int per_mille) { return cents + cents * per_mille / 1000; }
