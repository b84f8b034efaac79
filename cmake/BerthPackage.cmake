# Install rules, and the .deb that CPack makes of them.
include(GNUInstallDirs)
set(CMAKE_INSTALL_LIBEXECDIR libexec)

foreach(program IN ITEMS berth berthd berth-runtime)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()
# berth-keeper and berth-buildkit are no commands for people: berthd finds them in ../libexec/berth when they are not beside it.
if(TARGET berth-keeper)
  install(TARGETS berth-keeper berth-buildkit RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/berth)
endif()
install(FILES ${CMAKE_SOURCE_DIR}/packaging/berth.service DESTINATION lib/systemd/system)
install(FILES ${CMAKE_SOURCE_DIR}/packaging/user/berth.service DESTINATION lib/systemd/user)
install(FILES ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/CHANGELOG.md ${CMAKE_SOURCE_DIR}/LICENSE
        DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME berth)
set(CPACK_PACKAGE_VENDOR "berth")
set(CPACK_PACKAGE_CONTACT "berth maintainers <maintainers@berth.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Engine that packages, runs and watches applications in containers")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# What `berth bootstrap` makes base images from, and what an ordinary user's engine needs for ids and network; the
# system's engine calls no program.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS
    "busybox-static, mmdebstrap, ca-certificates, libcurl4, uidmap, passt | slirp4netns")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${CMAKE_SOURCE_DIR}/packaging/postinst ${CMAKE_SOURCE_DIR}/packaging/prerm ${CMAKE_SOURCE_DIR}/packaging/postrm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_PACKAGE_DESCRIPTION
    "berth builds images from Dockerfiles and runs them as isolated, limited containers, with one small engine that
 speaks the Docker Engine API, so that docker's tools work with it.")
include(CPack)
