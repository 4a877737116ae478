# The shim: a program of its own without a C library, embedded into the broker's library.
add_executable(dirbox-shim launcher/broker/shim/shim.cpp)
target_include_directories(dirbox-shim PRIVATE ${CMAKE_SOURCE_DIR})
set_target_properties(dirbox-shim PROPERTIES POSITION_INDEPENDENT_CODE OFF RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
target_compile_options(dirbox-shim PRIVATE -O2 -g0 -Wall -Wextra -Wshadow $<$<BOOL:${DIRBOX_WERROR}>:-Werror>
                       -ffreestanding -fno-exceptions -fno-rtti -fno-stack-protector -fno-pic -fno-pie
                       -fno-threadsafe-statics -fno-asynchronous-unwind-tables)
target_link_options(dirbox-shim PRIVATE -nostdlib -static -s -Wl,--build-id=none -Wl,-z,noexecstack
                    -Wl,-z,max-page-size=4096)

set(DIRBOX_SHIM_ASM ${CMAKE_BINARY_DIR}/shim_bytes.cpp)
file(WRITE ${DIRBOX_SHIM_ASM}.in "__asm__(\".section .rodata\\n.globl dirbox_shim_begin\\n.globl dirbox_shim_end\\n\"
        \"dirbox_shim_begin: .incbin \\\"$<TARGET_FILE:dirbox-shim>\\\"\\ndirbox_shim_end: .byte 0\\n\"
        \".section .note.GNU-stack,\\\"\\\",%progbits\\n\");\n")
file(GENERATE OUTPUT ${DIRBOX_SHIM_ASM} INPUT ${DIRBOX_SHIM_ASM}.in)
set_source_files_properties(${DIRBOX_SHIM_ASM} PROPERTIES GENERATED ON OBJECT_DEPENDS ${CMAKE_BINARY_DIR}/dirbox-shim)
add_library(dirbox_shim_bytes STATIC ${DIRBOX_SHIM_ASM})
add_dependencies(dirbox_shim_bytes dirbox-shim)
target_link_libraries(dirbox_broker PUBLIC dirbox_shim_bytes)
