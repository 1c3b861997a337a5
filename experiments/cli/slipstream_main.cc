#include "experiments/cli/command_line.h"

int main(int argc, char** argv) { return slipstream::cli::command_line(argc, argv); }
