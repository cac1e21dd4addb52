//! Stacks of more layers than the options of a mount have room for.

use std::fs;
use std::os::fd::AsFd;

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, mount_change, move_mount,
};
use trice_sys::namespace::{Unshare, unshare};

use crate::place::{Folder, Machine};

#[test]
fn an_image_of_127_layers_and_one_of_400_are_mounted_and_show_all_of_them() {
    for count in [127, 400] {
        let folder = Folder::new();
        let machine = Machine::new(&folder, "machine");
        let layers: Vec<_> = (0..count).map(|number| folder.path(&format!("layer-{number}"))).collect();
        for (number, layer) in layers.iter().enumerate() {
            fs::create_dir(layer).unwrap();
            fs::write(layer.join(format!("file-{number}")), "").unwrap();
            fs::write(layer.join("last"), number.to_string()).unwrap();
        }
        let paths: Vec<_> = layers.iter().map(|layer| layer.as_path()).collect();
        let image = machine.build(&paths, &["deep:1"]);
        assert_eq!(image.layers.len(), count);
        let length: usize = image.layers.iter().map(|layer| layer.as_os_str().len() + 1).sum();
        assert!(length > 4096, "the old call has room for a page");
        let root = folder.path("root");
        fs::create_dir(&root).unwrap();
        let mounted = || {
            unshare(Unshare::Mount).expect("this test mounts, which takes root");
            mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
            let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
            for layer in &image.layers {
                fsconfig_set_string(context.as_fd(), "lowerdir+", layer.as_path()).unwrap();
            }
            fsconfig_create(context.as_fd()).unwrap();
            let tree =
                fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY);
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            move_mount(tree.unwrap().as_fd(), "", CWD, &root, flags).unwrap();
            let last = fs::read_to_string(root.join("last")).unwrap();
            (fs::read_dir(&root).unwrap().count(), last)
        };
        let found = std::thread::scope(|scope| scope.spawn(mounted).join().unwrap());
        assert_eq!(found, (count + 1, (count - 1).to_string()));
    }
}
