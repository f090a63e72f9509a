// The main function of the tests, in a source of its own because doctest takes long to compile.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
