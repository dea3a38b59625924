//! Images in folders: which files there are, and the classes that the folders name.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::format::Format;
use crate::order::natural_order;

/// Folders within folders looked into; links may lead back up.
const DEEPEST: usize = 16;

/// An image file of a folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    /// Its path within the folder, with `/` between the parts.
    pub(crate) name: String,
    /// The class folder that it lies in.
    pub(crate) class: Option<String>,
}

/// The image files of a folder and all folders in it, in natural order of their names, and the number of other files,
/// which are none by their extensions. What begins with a dot is hidden and not looked at.
pub(crate) struct Listing {
    pub(crate) entries: Vec<Entry>,
    pub(crate) other_files: u64,
}

impl Listing {
    /// Lists a folder, or one image file. With `labelled`, every image lies in a class folder.
    pub(crate) fn of(path: &Path, labelled: bool) -> Result<Self> {
        let mut listing = Listing { entries: vec![], other_files: 0 };
        let wrong = |message: String| Err(Error::ImageFolder { path: path.into(), message });
        if !path.is_dir() {
            if labelled {
                return wrong("expected a folder of class folders, found a file".into());
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            listing.entries.push(Entry { path: path.into(), name, class: None });
            return Ok(listing);
        }
        listing.walk(path, "", 0)?;
        if labelled {
            for entry in &mut listing.entries {
                match entry.name.split_once('/') {
                    Some((class, _)) => entry.class = Some(class.into()),
                    None => {
                        return wrong(format!(
                            "expected images in class folders, found {} beside them",
                            entry.name
                        ));
                    }
                }
            }
            let seen =
                |class: &str| listing.entries.iter().any(|entry| entry.class.as_deref() == Some(class));
            if let Some((_, class, _)) =
                sorted(path)?.into_iter().find(|(_, name, folder)| *folder && !seen(name))
            {
                return wrong(format!("expected images in every class folder, found none in {class}"));
            }
        }
        if listing.entries.is_empty() {
            return wrong(format!("expected images, found none ({} other files)", listing.other_files));
        }
        Ok(listing)
    }

    fn walk(&mut self, folder: &Path, within: &str, depth: usize) -> Result<()> {
        if depth > DEEPEST {
            let message = format!("folders lie more than {DEEPEST} deep");
            return Err(Error::ImageFolder { path: folder.into(), message });
        }
        for (path, name, is_folder) in sorted(folder)? {
            let name = if within.is_empty() { name } else { format!("{within}/{name}") };
            if is_folder {
                self.walk(&path, &name, depth + 1)?;
            } else if matches!(Format::of(&path), Ok(Format::Images)) {
                self.entries.push(Entry { path, name, class: None });
            } else {
                self.other_files += 1;
            }
        }
        Ok(())
    }
}

/// What lies in a folder and is not hidden: path, name, and whether it is a folder.
fn sorted(folder: &Path) -> Result<Vec<(PathBuf, String, bool)>> {
    let failed = |source| Error::Read { path: folder.into(), source };
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default();
        let Some(name) = name.to_str() else {
            let message = format!("expected names in UTF-8, found {name:?}");
            return Err(Error::ImageFolder { path: folder.into(), message });
        };
        if !name.starts_with('.') {
            let name = name.to_string();
            let is_folder = path.is_dir();
            found.push((path, name, is_folder));
        }
    }
    found.sort_by(|(_, a, _), (_, b, _)| natural_order(a, b));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            let is_folder = file.ends_with('/');
            std::fs::create_dir_all(if is_folder { &path } else { path.parent().unwrap() }).unwrap();
            if !is_folder {
                std::fs::write(path, "").unwrap();
            }
        }
        folder
    }

    #[test]
    fn class_folders_name_the_classes_and_names_go_by_number() {
        let files = ["b/10.png", "b/2.JPG", "a/deep/1.webp", "a/notes.txt", ".hidden/x.png", "b/.DS_Store"];
        let folder = folder(&files);
        let listing = Listing::of(folder.path(), true).unwrap();
        let found: Vec<(&str, &str)> =
            listing.entries.iter().map(|e| (e.name.as_str(), e.class.as_deref().unwrap())).collect();
        assert_eq!(found, [("a/deep/1.webp", "a"), ("b/2.JPG", "b"), ("b/10.png", "b")]);
        assert_eq!(listing.other_files, 1);
    }

    #[test]
    fn without_labels_images_may_lie_anywhere() {
        let folder = folder(&["x.png", "a/y.png"]);
        let names: Vec<String> =
            Listing::of(folder.path(), false).unwrap().entries.into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["a/y.png", "x.png"]);
        let one = Listing::of(&folder.path().join("x.png"), false).unwrap();
        assert_eq!((one.entries.len(), one.entries[0].name.as_str()), (1, "x.png"));
    }

    #[test]
    fn images_without_a_class_and_classes_without_images_are_refused() {
        for (files, found) in [
            (&["a/1.png", "2.png"][..], "2.png"),
            (&["a/1.png", "b/"], "none in b"),
            (&["a/1.txt"], "none in a"),
            (&[], "found none"),
        ] {
            let folder = folder(files);
            let error = Listing::of(folder.path(), true).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains(found) && error.hint().is_some(), "{error}");
        }
    }
}
