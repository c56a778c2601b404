// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Macros that a project's other headers define: those of Windows, macOS, glibc and <complex.h> among them.

// Calls of these names in parentheses are calls of functions still, so the library may call std::min.
#define min(a, b) <a macro named min>
#define max(a, b) <a macro named max>

// Any use of one of these is an error, whatever stands behind it.
#define check <a macro named check>
#define small <a macro named small>
#define near <a macro named near>
#define far <a macro named far>
#define interface <a macro named interface>
#define major <a macro named major>
#define minor <a macro named minor>
#define ERROR <a macro named ERROR>
#define OPTIONAL <a macro named OPTIONAL>
#define CONST <a macro named CONST>
#define TRUE <a macro named TRUE>
#define FALSE <a macro named FALSE>
#define IN <a macro named IN>
#define OUT <a macro named OUT>
#define I <a macro named I>
#define N <a macro named N>
